import { execFileSync } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

export interface TestCertificate {
  /** PEM. */
  readonly cert: string;
  /** PEM. */
  readonly key: string;
  readonly certFile: string;
  readonly keyFile: string;
}

export interface TestCertificateOptions {
  /** As openssl writes it: `/O=Contoso/CN=alice`; `+` joins parts of one relative name. */
  readonly subject: string;
  /** Value of the subject alternative name, as openssl writes it: `otherName:msUPN;UTF8:alice@medv.test`. */
  readonly altName?: string;
  /** Unix ms; default: a minute ago. */
  readonly notBefore?: number;
  /** Unix ms; default: in an hour. */
  readonly notAfter?: number;
  /** Hex. */
  readonly serial?: string;
  /** Lets it sign certificates itself. */
  readonly isCa?: boolean;
  /** Default: clientAuth and serverAuth. */
  readonly extendedKeyUsage?: string;
}

const MINUTE_MS = 60_000;
const HOUR_MS = 3_600_000;

/** A certificate authority made by openssl for one test: nothing of it outlives the folder. */
export class TestCa {
  readonly certificate: TestCertificate;
  readonly #folder: string;
  #count = 0;

  private constructor(folder: string, certificate: TestCertificate) {
    this.certificate = certificate;
    this.#folder = folder;
  }

  /** @param folder for this CA alone; made here */
  static createRoot(folder: string, subject: string): TestCa {
    prepare(folder);
    const [keyFile, certFile] = [join(folder, "ca.key"), join(folder, "ca.pem")];
    makeKey(keyFile);
    openssl(folder, [
      "req",
      "-new",
      "-utf8",
      "-x509",
      "-key",
      keyFile,
      "-out",
      certFile,
      "-subj",
      subject,
      "-days",
      "2",
    ]);
    return new TestCa(folder, read(certFile, keyFile));
  }

  /** A CA below this one. */
  createIntermediate(folder: string, subject: string): TestCa {
    prepare(folder);
    return new TestCa(folder, this.issue({ subject, isCa: true }));
  }

  issue(options: TestCertificateOptions): TestCertificate {
    this.#count += 1;
    const base = join(this.#folder, `issued-${this.#count}`);
    const [keyFile, certFile, request, extensions] = [
      `${base}.key`,
      `${base}.pem`,
      `${base}.csr`,
      `${base}.ext`,
    ];
    const { subject, altName, serial, isCa = false, extendedKeyUsage = "clientAuth,serverAuth" } = options;
    makeKey(keyFile);
    openssl(this.#folder, [
      "req",
      "-new",
      "-utf8",
      "-key",
      keyFile,
      "-out",
      request,
      "-subj",
      subject,
      "-multivalue-rdn",
    ]);
    writeFileSync(
      extensions,
      [
        `basicConstraints=critical,CA:${isCa ? "TRUE" : "FALSE"}`,
        "subjectKeyIdentifier=hash",
        "authorityKeyIdentifier=keyid",
        ...(isCa ? ["keyUsage=critical,keyCertSign,cRLSign"] : [`extendedKeyUsage=${extendedKeyUsage}`]),
        ...(altName === undefined ? [] : [`subjectAltName=${altName}`]),
        "",
      ].join("\n"),
    );
    if (serial !== undefined) writeFileSync(join(this.#folder, "serial"), `${serial}\n`);
    const now = Date.now();
    const starts = asn1Time(options.notBefore ?? now - MINUTE_MS);
    const ends = asn1Time(options.notAfter ?? now + HOUR_MS);
    const files = ["-in", request, "-out", certFile, "-extfile", extensions];
    this.#ca([...files, "-notext", "-multivalue-rdn", "-startdate", starts, "-enddate", ends]);
    return read(certFile, keyFile);
  }

  revoke(certificate: TestCertificate): void {
    this.#ca(["-revoke", certificate.certFile]);
  }

  /**
   * The list of what was revoked, PEM.
   * @param nextUpdate Unix ms; default: in an hour
   */
  revocationList(nextUpdate: number = Date.now() + HOUR_MS): string {
    const file = join(this.#folder, "list.crl");
    const dates = ["-crl_lastupdate", asn1Time(Math.min(nextUpdate, Date.now()) - MINUTE_MS)];
    this.#ca(["-gencrl", "-out", file, ...dates, "-crl_nextupdate", asn1Time(nextUpdate)]);
    return readFileSync(file, "utf8");
  }

  #ca(args: readonly string[]): void {
    const { certFile, keyFile } = this.certificate;
    openssl(this.#folder, [
      "ca",
      "-batch",
      "-preserveDN",
      "-config",
      "ca.cnf",
      "-cert",
      certFile,
      "-keyfile",
      keyFile,
      ...args,
    ]);
  }
}

function prepare(folder: string): void {
  mkdirSync(folder);
  writeFileSync(join(folder, "index.txt"), "");
  writeFileSync(
    join(folder, "ca.cnf"),
    `[ca]
default_ca = here
[here]
database = ${join(folder, "index.txt")}
serial = ${join(folder, "serial")}
new_certs_dir = ${folder}
default_md = sha256
default_days = 1
policy = any
preserve = yes
unique_subject = no
string_mask = utf8only
[any]
countryName = optional
stateOrProvinceName = optional
localityName = optional
organizationName = optional
organizationalUnitName = optional
commonName = optional
emailAddress = optional
domainComponent = optional
`,
  );
  writeFileSync(join(folder, "serial"), "1000\n");
}

function makeKey(file: string): void {
  const args = ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", file];
  execFileSync("openssl", args, { stdio: "pipe" });
}

function openssl(cwd: string, args: readonly string[]): void {
  execFileSync("openssl", args, { cwd, stdio: "pipe" });
}

function read(certFile: string, keyFile: string): TestCertificate {
  return { cert: readFileSync(certFile, "utf8"), key: readFileSync(keyFile, "utf8"), certFile, keyFile };
}

/** GeneralizedTime as openssl takes it on the command line: `20260102030405Z`. */
function asn1Time(ms: number): string {
  return `${new Date(ms).toISOString().replaceAll(/[-:T]|\.\d+Z$/g, "")}Z`;
}
