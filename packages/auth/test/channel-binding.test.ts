import { toHex } from "@ckmesh/core";
import { describe, expect, it } from "vitest";
import { tlsServerEndPoint } from "../src/channel-binding.js";

/** Self-signed by openssl; the binding computed by Python's hashlib as RFC 5929 §4 says. */
const CERTIFICATES = [
  {
    signature: "ECDSA with SHA-256",
    binding: "b7306a529ffc0e3ad13c730a7ee5258c",
    der:
      "MIIBbzCCARWgAwIBAgIUAbUFg8GwphpqtVSLvvOYirf9fmswCgYIKoZIzj0EAwIwDDEKMAgGA1UEAwwBYTAgFw0yNjExMjY" +
      "wNzE5NTVaGA8yMTI2MTEwMjA3MTk1NVowDDEKMAgGA1UEAwwBYTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABNIc1VhQJN" +
      "2BNO41U+x828kCd1cjqAnjGPqkSQuQASkIyLfR2ijnAilEo8MhVpcQjbKEY8o2VBASofMWmFiWpQajUzBRMB0GA1UdDgQWB" +
      "BT3dfZAARM3yo3BzlMsWVLVGOQU6DAfBgNVHSMEGDAWgBT3dfZAARM3yo3BzlMsWVLVGOQU6DAPBgNVHRMBAf8EBTADAQH/" +
      "MAoGCCqGSM49BAMCA0gAMEUCIHpj/jZjOP/oDgTfiVuPrTvAHFc7U4ufyC+Q3XsJOcxSAiEAzS1/V+08l1iLKIDNqV13hOJ" +
      "uWj5FvXVl4mNCgDyYMtQ=",
  },
  {
    signature: "ECDSA with SHA-384",
    binding: "8e1efbab7324b7dea1ca497b36bef729",
    der:
      "MIIBbzCCARWgAwIBAgIUMHocIGd6FvFwSPRBzmUdK4zcZoAwCgYIKoZIzj0EAwMwDDEKMAgGA1UEAwwBYTAgFw0yNjExMjY" +
      "wNzE5NTVaGA8yMTI2MTEwMjA3MTk1NVowDDEKMAgGA1UEAwwBYTBZMBMGByqGSM49AgEGCCqGSM49AwEHA0IABDypEPcdnm" +
      "tRFDvlu5bQhsapWgD/TynlA1w2RaKP6pfoTgUB6B9Q3VyHECKuju3aMM7C0nDuaFyCh2de9BBeamujUzBRMB0GA1UdDgQWB" +
      "BS/vaVNNi9WK5QTQ43Ux1ufm9ojujAfBgNVHSMEGDAWgBS/vaVNNi9WK5QTQ43Ux1ufm9ojujAPBgNVHRMBAf8EBTADAQH/" +
      "MAoGCCqGSM49BAMDA0gAMEUCIQDkSnT4bL9AG/QPNHnWZVCGoGwcxRdpX7mxvDLiGWxFkwIgfFR1Q2LGgzcHvmOUz85QRw+" +
      "vsqLWmyTmNt51MfveaZ0=",
  },
  {
    signature: "RSA-PSS with SHA-512",
    binding: "977f17ad32ccfb4896a643ed36485dae",
    der:
      "MIICXjCCAZOgAwIBAgIUTP414D5Cuk4arxtF9PudfMYFWU8wQQYJKoZIhvcNAQEKMDSgDzANBglghkgBZQMEAgMFAKEcMBo" +
      "GCSqGSIb3DQEBCDANBglghkgBZQMEAgMFAKIDAgE+MAwxCjAIBgNVBAMMAWEwIBcNMjYxMTI2MDcxOTU1WhgPMjEyNjExMD" +
      "IwNzE5NTVaMAwxCjAIBgNVBAMMAWEwgZ8wDQYJKoZIhvcNAQEBBQADgY0AMIGJAoGBALW+BeJrQq2ieTNPM4fb1JBrcKqH7" +
      "rDV/jOrowrs/Yq6GerohhwGb2CJIMKOju1VuyIzygdXFT/iTHRW9q2KHI+nF3KkL3OrsJo7D9hsP7CuRkfmIgGqt+vIw9Kp" +
      "vz6lWRe4QDL93najw8SRs98nxxdF/JNl5EG6UsZC1mJ22fhvAgMBAAGjUzBRMB0GA1UdDgQWBBS9LNRukEEI6vrDbz9s+4j" +
      "C8ANphzAfBgNVHSMEGDAWgBS9LNRukEEI6vrDbz9s+4jC8ANphzAPBgNVHRMBAf8EBTADAQH/MEEGCSqGSIb3DQEBCjA0oA" +
      "8wDQYJYIZIAWUDBAIDBQChHDAaBgkqhkiG9w0BAQgwDQYJYIZIAWUDBAIDBQCiAwIBPgOBgQBSelieUGM/HgupsJiZyzxzL" +
      "O1A48IznDAjrbUsbTd6AYR0FzTcBOw76ltrnzD3lSC9NO94oeO2bbuOUw5yCuE0OT6OMx7tZQh/FeU4ldigog9hdWkDsQRx" +
      "kzKk+smb808vlOwcCDMLoPcxKz+mqMKkzfMB8qqeW38R/y8FWVrmkQ==",
  },
  {
    signature: "RSA with SHA-1, hence SHA-256",
    binding: "342fc362f0fdab5b197a0743141740b1",
    der:
      "MIIB9jCCAV+gAwIBAgIUOEvQL9vxtO7z8BwM76PXLQ8c2s0wDQYJKoZIhvcNAQEFBQAwDDEKMAgGA1UEAwwBYTAgFw0yNjE" +
      "xMjYwNzE5NTVaGA8yMTI2MTEwMjA3MTk1NVowDDEKMAgGA1UEAwwBYTCBnzANBgkqhkiG9w0BAQEFAAOBjQAwgYkCgYEAwY" +
      "4CiEpfchjfe4fpelDa+rmzEhfH9IqO1Sw4gqairocJgfSyg++1lktrGuIx9u1wqTHWOKzL7CUHHCsZt7zFmbYmUjQTQhZoZ" +
      "F38QNtofqeof1x1OqqiI//xXDf+eQRmxAKcSdf50v1oBSk1pWaxDk6ZfWXA4kFRcfg/vaemmFMCAwEAAaNTMFEwHQYDVR0O" +
      "BBYEFFY47ubvQ4G7FG0Ev0DeEBT64cDTMB8GA1UdIwQYMBaAFFY47ubvQ4G7FG0Ev0DeEBT64cDTMA8GA1UdEwEB/wQFMAM" +
      "BAf8wDQYJKoZIhvcNAQEFBQADgYEAs5YXjiVV/8ny8QvTYquNoWI5s9I9Vmyxd9mluyObZVlInPS5e8wCB2rHbedwWEk4AZ" +
      "kZIsE3b77ttIxWGmc4BeEPM8qmfZpJUmbv8k+PcN+KlnjNBQOhYiLK+aqwa2Fm70SC6U5HsyRpKfT50ytfwM7YShKvNZ2Jh" +
      "sn8R7oQTO0=",
  },
  {
    signature: "Ed25519, hence SHA-256",
    binding: "308c22a9a77d45a664f436e12e0f8b08",
    der:
      "MIIBLjCB4aADAgECAhR8va36J2/ZXeFIacmeelV2I4dYqDAFBgMrZXAwDDEKMAgGA1UEAwwBYTAgFw0yNjExMjYwNzE5NTV" +
      "aGA8yMTI2MTEwMjA3MTk1NVowDDEKMAgGA1UEAwwBYTAqMAUGAytlcAMhAFEjQYRADWwUAJEe3ebfAsbmZlKiXioddTme4M" +
      "7678Eko1MwUTAdBgNVHQ4EFgQUQnxiSrcRy37SrD1Lbhy07RzHYGMwHwYDVR0jBBgwFoAUQnxiSrcRy37SrD1Lbhy07RzHY" +
      "GMwDwYDVR0TAQH/BAUwAwEB/zAFBgMrZXADQQB98V5endck/Eb1Tumia1W9C7ggvzwmjGiOFcp5sjYqiUkJiN8Pyo9TdQdr" +
      "aH+FkUj/lE0WvkS4A+gJvtJ7z+cF",
  },
];

describe("tlsServerEndPoint", () => {
  it.each(CERTIFICATES)("takes the hash of the signature: $signature", ({ der, binding }) => {
    expect(toHex(tlsServerEndPoint(Buffer.from(der, "base64")))).toBe(binding);
  });

  it("takes the hash that it is told, and SHA-256 instead of SHA-1", () => {
    const der = Buffer.from(CERTIFICATES[1]?.der ?? "", "base64");
    expect(toHex(tlsServerEndPoint(der, "sha384"))).toBe(CERTIFICATES[1]?.binding);
    expect(tlsServerEndPoint(der, "sha1")).toEqual(tlsServerEndPoint(der, "sha256"));
  });

  it("has an answer for what is no certificate", () => {
    expect(tlsServerEndPoint(new Uint8Array([0x30, 0x80]))).toHaveLength(16);
  });
});
