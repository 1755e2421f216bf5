/** networking.k8s.io/v1 IngressClass. */
import { z } from 'zod';
import { clusterMetadata, unused } from './metadata.ts';
import { strictObject } from './strict-object.ts';

/** The controller that our IngressClasses name. */
export const CONTROLLER_NAME = 'tidegate.dev/ingress-controller';

export const ingressClassSchema = strictObject({
  apiVersion: z.literal('networking.k8s.io/v1'),
  kind: z.literal('IngressClass'),
  metadata: clusterMetadata(),
  spec: strictObject({
    controller: z.string().default(''),
    parameters: strictObject({
      apiGroup: z.string().exactOptional(),
      kind: z.string(),
      name: z.string(),
      namespace: z.string().exactOptional(),
      scope: z.string().exactOptional(),
    }).exactOptional(),
  }).default({ controller: '' }),
  status: unused,
});

export type IngressClass = z.output<typeof ingressClassSchema>;
