/** Where the API server is and who we are to it. */

/** What a connection's TLS is made of; as `tls.connect` takes it. */
export interface ClientTls {
  readonly ca?: string | Buffer;
  readonly cert?: string | Buffer;
  readonly key?: string | Buffer;
  readonly servername?: string;
  readonly rejectUnauthorized?: boolean;
}

export interface Credentials {
  /** Header fields that say who we are. */
  readonly headers: Readonly<Record<string, string>>;
  readonly tls: ClientTls;
}

export interface ClusterAccess {
  /** Base URL, without a slash at its end. */
  readonly server: string;
  /** http, https or socks5 URL. */
  readonly proxy?: string;
  /** Of the pod, or of the kubeconfig's context; `default` where neither says one. */
  readonly namespace: string;

  /**
   * Asked for before every request: tokens and certificates change in place.
   * @throws (rejects) CredentialsError
   */
  credentials(): Promise<Credentials>;

  /** The API server does not know us by the last credentials: whatever is remembered of them is read again. */
  forget(): void;
}
