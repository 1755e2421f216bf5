/**
 * A key and certificate for the self-check's connection to itself, made for that alone: nobody trusts it, and it guards
 * nothing. Kept as text so that every thread's start does not pay for making one.
 */
export const selfCheckKey = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgI5UM1o/HgCOr5Kao
mrcQBf4TMtU0/y7w4uK7wGJQeT6hRANCAAQ/Y3cBMM5XJq/sLcLiyRvaD3GdZ9fU
g+Zj/KVP9e8434fWykIGk63KxDxVaLC+VEX8TApgMqRtyuXYMKUmaab9
-----END PRIVATE KEY-----`;

export const selfCheckCertificate = `-----BEGIN CERTIFICATE-----
MIIBkTCCATegAwIBAgIUcdw4ugds6G3TQrANSkdCa8vVUJowCgYIKoZIzj0EAwIw
HTEbMBkGA1UEAwwSc2VsZi1jaGVjay5pbnZhbGlkMCAXDTI2MTEyMjA5MTU0NloY
DzIxMjYxMDI5MDkxNTQ2WjAdMRswGQYDVQQDDBJzZWxmLWNoZWNrLmludmFsaWQw
WTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAQ/Y3cBMM5XJq/sLcLiyRvaD3GdZ9fU
g+Zj/KVP9e8434fWykIGk63KxDxVaLC+VEX8TApgMqRtyuXYMKUmaab9o1MwUTAd
BgNVHQ4EFgQUSCvhA7fSRqlI1xRze5yRhCwb1P4wHwYDVR0jBBgwFoAUSCvhA7fS
RqlI1xRze5yRhCwb1P4wDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNIADBF
AiEAzmYkgV8OeRJZuYW6JjttO7pMVaBa5nnYJTcg76DhPJACIEKhThLkhIEcOclH
niUV5zngONJbGIdmk7Jl+kRGXRrC
-----END CERTIFICATE-----`;
