import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { mustRun } from "./run-program.js";

/** A certificate and its key, PEM files. */
export interface KeyPair {
  readonly cert: string;
  readonly key: string;
}

interface IssueOptions {
  /** As openssl writes it: `/O=Contoso/CN=alice`. */
  readonly subject: string;
  /** User principal name in the SAN: otherName 1.3.6.1.4.1.311.20.2.3. */
  readonly upn?: string;
  /** Further names of the SAN as openssl writes them: `DNS:localhost`. */
  readonly names?: readonly string[];
  readonly usage?: "clientAuth" | "serverAuth";
  /** Its last day was yesterday. */
  readonly isExpired?: boolean;
}

const EC = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];

/** A certificate authority made with the openssl command, in a folder of its own. */
export class TestCa {
  readonly cert: string;
  readonly crl: string;
  readonly #folder: string;
  #issued = 0;

  private constructor(folder: string) {
    this.#folder = folder;
    this.cert = join(folder, "ca.pem");
    this.crl = join(folder, "ca.crl");
  }

  /** @param subject as openssl writes it: `/O=Contoso/CN=Contoso CA` */
  static async create(folder: string, subject: string): Promise<TestCa> {
    mkdirSync(folder, { recursive: true });
    const ca = new TestCa(folder);
    const flags = ["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=keyCertSign,cRLSign"];
    const out = ["-keyout", ca.#path("ca.key"), "-out", ca.cert];
    await mustRun("openssl", [
      "req",
      "-x509",
      ...EC,
      ...out,
      "-days",
      "2",
      "-utf8",
      "-subj",
      subject,
      ...flags,
    ]);
    writeFileSync(ca.#path("index.txt"), "");
    writeFileSync(ca.#path("crlnumber"), "01\n");
    writeFileSync(ca.#path("ca.cnf"), caConfig(folder));
    await ca.writeCrl();
    return ca;
  }

  async issue(options: IssueOptions): Promise<KeyPair> {
    this.#issued += 1;
    const name = `leaf-${this.#issued}`;
    const pair = { cert: this.#path(`${name}.pem`), key: this.#path(`${name}.key`) };
    const request = this.#path(`${name}.csr`);
    const extensions = this.#path(`${name}.ext`);
    writeFileSync(extensions, extensionLines(options));
    await mustRun("openssl", [
      "req",
      ...EC,
      "-keyout",
      pair.key,
      "-out",
      request,
      "-utf8",
      "-subj",
      options.subject,
    ]);
    const days =
      options.isExpired === true
        ? ["-startdate", "20200101000000Z", "-enddate", "20200102000000Z"]
        : ["-days", "2"];
    const files = ["-in", request, "-out", pair.cert, "-extfile", extensions];
    await mustRun("openssl", ["ca", "-batch", "-notext", "-config", this.#path("ca.cnf"), ...files, ...days]);
    return pair;
  }

  /** Puts a certificate on the list of revoked ones and writes the list anew. */
  async revoke(pair: KeyPair): Promise<void> {
    await mustRun("openssl", ["ca", "-config", this.#path("ca.cnf"), "-revoke", pair.cert]);
    await this.writeCrl();
  }

  /** Of the whole certificate, as one-to-one mappings name it. */
  static async sha256(pair: KeyPair): Promise<string> {
    const out = await mustRun("openssl", ["x509", "-in", pair.cert, "-noout", "-fingerprint", "-sha256"]);
    return out.trim().replace(/^.*=/, "");
  }

  async writeCrl(): Promise<void> {
    await mustRun("openssl", ["ca", "-config", this.#path("ca.cnf"), "-gencrl", "-out", this.crl]);
  }

  #path(name: string): string {
    return join(this.#folder, name);
  }
}

function caConfig(folder: string): string {
  return `[ca]
default_ca = own
[own]
dir = ${folder}
database = $dir/index.txt
new_certs_dir = $dir
certificate = $dir/ca.pem
private_key = $dir/ca.key
crlnumber = $dir/crlnumber
default_md = sha256
default_crl_days = 2
rand_serial = yes
unique_subject = no
policy = any
string_mask = utf8only
[any]
countryName = optional
organizationName = optional
organizationalUnitName = optional
commonName = optional
emailAddress = optional
`;
}

function extensionLines({ names = [], upn, usage = "clientAuth" }: IssueOptions): string {
  const upnNames = upn === undefined ? [] : [`otherName:1.3.6.1.4.1.311.20.2.3;UTF8:${upn}`];
  const alternatives = [...names, ...upnNames].join(",");
  return [
    "basicConstraints=CA:FALSE",
    `extendedKeyUsage=${usage}`,
    "subjectKeyIdentifier=hash",
    "authorityKeyIdentifier=keyid",
    ...(alternatives === "" ? [] : [`subjectAltName=${alternatives}`]),
    "",
  ].join("\n");
}

/** A server certificate for localhost and 127.0.0.1. */
export function issueForLoopback(ca: TestCa): Promise<KeyPair> {
  return ca.issue({
    subject: "/CN=localhost",
    names: ["DNS:localhost", "IP:127.0.0.1"],
    usage: "serverAuth",
  });
}
