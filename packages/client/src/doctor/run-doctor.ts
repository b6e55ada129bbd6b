import { lookup } from "node:dns/promises";
import { AppError, type Clock, describeError, type Logger, type Random } from "@ckmesh/core";
import { decodeHead, hasIndexMagic } from "@ckmesh/image";
import {
  bareHost,
  type OriginAnswer,
  OriginHttp,
  type OriginLinkOptions,
  OriginProbe,
  probeConnection,
  proxyFor,
} from "@ckmesh/net";
import { asAppError } from "../as-app-error.js";
import type { OriginAccess } from "../config/origin-config.js";
import { fetchCatalogue } from "../fetch-catalogue.js";
import { type CheckName, type Finding, failed, ok, skipped, warning } from "./finding.js";
import { greetTracker } from "./greet-tracker.js";
import { judgeClock, judgeRedirect, judgeTls } from "./judge-connection.js";
import { type FileAnswer, judgeControl, judgeFile, judgeRanges, judgeTags } from "./judge-files.js";
import {
  type Attempt,
  judgeLogon,
  judgeMethods,
  type Means,
  type Method,
  methodsToTry,
} from "./judge-logon.js";

/** Each check ends within this time, ms. */
const CHECK_MS = 20_000;

export interface DoctorOptions {
  /** `https://host/MEDVImages` */
  readonly url: string;
  readonly access: OriginAccess;
  /** Whose files are looked at; absent: the first one of the catalogue. */
  readonly image?: string;
  readonly tracker?: string;
  readonly joinKey?: Uint8Array;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  /** Told of each result as soon as it is there. */
  readonly onFinding: (finding: Finding) => void;
}

/**
 * Looks at everything that lies between this machine and the images of an origin, one thing after the other, and goes
 * on as far as the results let it. The same settings as a client's; a password is tried once, and not again when it
 * was refused.
 * @throws {AppError} ERR_CONFIG_INVALID, ERR_ABORTED
 */
export async function runDoctor(options: DoctorOptions): Promise<readonly Finding[]> {
  return new Doctor(options).run();
}

class Doctor {
  readonly #options: DoctorOptions;
  readonly #link: OriginLinkOptions;
  readonly #url: URL;
  readonly #means: Means;
  readonly #findings: Finding[] = [];

  constructor(options: DoctorOptions) {
    this.#options = options;
    const { access, url, clock } = options;
    this.#link = { ...access, baseUrl: url, clock, maxConnections: 1 };
    // Whatever is wrong with the settings shows here.
    const origin = new OriginProbe(this.#link);
    void origin.close();
    this.#url = new URL(url);
    this.#means = {
      hasPassword: access.credentials !== undefined,
      hasTickets: access.negotiate === true,
      hasCertificate: access.certificate !== undefined,
      isTls: this.#url.protocol === "https:",
      allowBasicOverHttp: access.allowBasicOverHttp === true,
    };
  }

  async run(): Promise<readonly Finding[]> {
    if ((await this.#checkName()) && (await this.#checkConnection())) {
      const offered = await this.#checkMethods();
      const isIn = offered !== undefined && (await this.#checkLogon(offered));
      if (isIn) await this.#checkFiles();
      await this.#checkTracker(isIn);
    }
    return this.#findings;
  }

  #add(finding: Finding): boolean {
    this.#findings.push(finding);
    this.#options.onFinding(finding);
    return finding.status !== "failed";
  }

  /** A check that throws has failed. */
  async #guard<T>(check: CheckName, work: (signal: AbortSignal) => Promise<T>): Promise<T | undefined> {
    const { signal, clock } = this.#options;
    const late = new AbortController();
    const cancel = clock.after(CHECK_MS, () => late.abort());
    try {
      return await work(AbortSignal.any([signal, late.signal]));
    } catch (err) {
      if (signal.aborted) throw new AppError("ERR_ABORTED", "stopped", { cause: err });
      const failure = late.signal.aborted
        ? new AppError("ERR_TIMEOUT", `no result within ${CHECK_MS / 1000} s`)
        : asAppError(err);
      this.#add(failed(check, failure.code, failure.message));
      return undefined;
    } finally {
      cancel();
    }
  }

  async #checkName(): Promise<boolean> {
    const host = bareHost(this.#url.hostname);
    if (proxyFor(host, this.#options.access.proxy) !== undefined)
      return this.#add(skipped("name", `${host} is resolved by the proxy`));
    try {
      const addresses = await lookup(host, { all: true });
      return this.#add(ok("name", `${host} is ${addresses.map(({ address }) => address).join(", ")}`));
    } catch (err) {
      return this.#add(
        failed(
          "name",
          "ERR_ORIGIN_UNREACHABLE",
          `${host} has no address: ${describeError(err)}`,
          "check the spelling and the DNS of this machine",
        ),
      );
    }
  }

  async #checkConnection(): Promise<boolean> {
    const { clock } = this.#options;
    const facts = await this.#guard("connection", async () => ({ tls: await probeConnection(this.#link) }));
    if (facts === undefined) return false;
    const { proxy } = this.#options.access;
    const way =
      proxyFor(bareHost(this.#url.hostname), proxy) === undefined ? "" : ` through ${proxy?.url ?? ""}`;
    this.#add(ok("connection", `${this.#url.host} takes connections${way}`));
    if (facts.tls !== undefined) return this.#add(judgeTls(facts.tls, this.#url.hostname, clock.wall()));
    return this.#add(
      warning(
        "tls",
        "the origin is reached over plain http",
        "use https: without it clients share nothing, and anybody on the way reads and changes what passes",
      ),
    );
  }

  /** Schemes that the server offers; undefined when it cannot be asked. */
  async #checkMethods(): Promise<readonly string[] | undefined> {
    const { clock, access } = this.#options;
    const { credentials: _c, negotiate: _n, ntlm: _l, ...nobody } = access;
    const before = clock.now();
    const answer = await this.#ask("methods", { ...nobody, baseUrl: this.#link.baseUrl, clock });
    if (answer === undefined) return undefined;
    const [date] = answer.headers("date");
    this.#add(judgeClock(date, clock.wall(), clock.now() - before, this.#means.hasTickets));
    if (!this.#add(judgeRedirect(answer.status, answer.headers("location")[0]))) return undefined;
    const { offered } = answer;
    return this.#add(judgeMethods(answer.status, offered, this.#means)) ? offered : undefined;
  }

  /** Each method by itself. */
  async #checkLogon(offered: readonly string[]): Promise<boolean> {
    if (offered.length === 0) return true;
    const attempts: Attempt[] = [];
    for (const method of methodsToTry(offered, this.#means)) {
      attempts.push(await this.#tryMethod(method));
      // The account must not get locked: a refused password is not tried by another method.
      if (attempts.at(-1)?.problem?.includes(REFUSED) === true) break;
    }
    return this.#add(judgeLogon(attempts, offered, this.#means));
  }

  async #tryMethod(method: Method): Promise<Attempt> {
    const { clock, access } = this.#options;
    const { credentials, negotiate: _n, ntlm: _l, ...rest } = access;
    const probe = new OriginProbe({
      ...rest,
      baseUrl: this.#link.baseUrl,
      clock,
      ...(method !== "Kerberos" && credentials !== undefined && { credentials }),
      negotiate: method === "Kerberos",
      ntlm: method === "NTLM",
    });
    try {
      const signal = AbortSignal.any([this.#options.signal, AbortSignal.timeout(CHECK_MS)]);
      await probe.get(this.#headPath(probe, undefined), {}, signal);
      return { method };
    } catch (err) {
      if (this.#options.signal.aborted) throw new AppError("ERR_ABORTED", "stopped", { cause: err });
      return { method, problem: problemOf(err, method) };
    } finally {
      await probe.close();
    }
  }

  async #checkFiles(): Promise<void> {
    const image = this.#options.image ?? (await this.#firstImage());
    if (image === undefined) return;
    const probe = new OriginProbe(this.#link);
    try {
      await this.#guard("index", (signal) => this.#checkImage(probe, image, signal));
    } finally {
      await probe.close();
    }
  }

  async #firstImage(): Promise<string | undefined> {
    const { logger, signal } = this.#options;
    const origin = new OriginHttp({ ...this.#link, logger });
    try {
      const names = await fetchCatalogue(origin, signal);
      const [first] = names;
      if (first === undefined)
        this.#add(
          warning(
            "catalogue",
            "the origin's catalogue has no images",
            "publish one, or give this account the right to read",
          ),
        );
      else this.#add(ok("catalogue", `the catalogue lists ${names.length} images`));
      return first;
    } catch (err) {
      const { code, message } = asAppError(err);
      const finding =
        code === "ERR_CONFIG_INVALID"
          ? skipped(
              "catalogue",
              "the server has no catalogue (it is a plain web server): --image NAME has its files looked at",
            )
          : failed("catalogue", code, message);
      this.#add(finding);
      return undefined;
    } finally {
      await origin.close();
    }
  }

  async #checkImage(probe: OriginProbe, image: string, signal: AbortSignal): Promise<void> {
    const path = (suffix: string): string => `${probe.basePath}/${encodeURIComponent(`${image}${suffix}`)}`;
    const head = await probe.get(path(".ckm.index"), { range: "bytes=0-4095" }, signal);
    const verdict = judgeFile("index", `${image}.ckm.index`, ".index", factsOf(head));
    if (!this.#add(verdict.status === "ok" ? judgeHead(head.bytes, image, verdict) : verdict)) return;
    const pack = await probe.get(path(".ckm"), { range: "bytes=100-199" }, signal);
    if (this.#add(judgeFile("pack", `${image}.ckm`, ".ckm", factsOf(pack)))) {
      this.#add(judgeRanges(factsOf(pack)));
      const [etag] = head.headers("etag");
      const other = { range: "bytes=100-199", "if-range": '"another"' };
      const isIfRangeKept = (await probe.get(path(".ckm.index"), other, signal)).status === 200;
      const isUnchangedTold =
        etag !== undefined &&
        (await probe.get(path(".ckm.index"), { "if-none-match": etag }, signal)).status === 304;
      this.#add(judgeTags(etag, isIfRangeKept, isUnchangedTold));
    }
    const control = await probe.get(path(".control.index"), { range: "bytes=0-99" }, signal);
    this.#add(judgeControl(`${image}.control.index`, factsOf(control)));
  }

  async #checkTracker(isIn: boolean): Promise<void> {
    const { tracker: url } = this.#options;
    if (url === undefined) return;
    if (!isIn) {
      // Asking for a ticket would try a refused password again.
      this.#add(skipped("tracker", `${url} is not asked: the origin gives no ticket without a logon`));
      return;
    }
    const problem = await greetTracker({ ...this.#options, url, link: this.#link });
    this.#add(
      problem === undefined
        ? ok("tracker", `${url} welcomes this machine`)
        : failed(
            "tracker",
            "ERR_TICKET_INVALID",
            `${url}: ${problem}`,
            "check its address and certificate (--ca), and that origin and tracker have the same fleet key; downloads do not need it",
          ),
    );
  }

  async #ask(check: CheckName, options: OriginLinkOptions): Promise<OriginAnswer | undefined> {
    const probe = new OriginProbe(options);
    try {
      return await this.#guard(check, (signal) =>
        probe.get(this.#headPath(probe, this.#options.image), {}, signal),
      );
    } finally {
      await probe.close();
    }
  }

  /** Authentication comes before the file: any path of the folder tells. */
  #headPath(probe: OriginProbe, image: string | undefined): string {
    return `${probe.basePath}/${encodeURIComponent(`${image ?? this.#options.image ?? "ckmesh-doctor"}.ckm.index`)}`;
  }
}

/** As RequestLogon words it. */
const REFUSED = "refused user or password";

function problemOf(err: unknown, method: Method): string {
  const { details, message } = asAppError(err);
  const problems: unknown = details["problems"];
  if (!Array.isArray(problems)) return message;
  const texts = problems.flatMap((each: unknown) =>
    typeof each === "object" && each !== null && "problem" in each && "method" in each
      ? [
          String(each.method).startsWith(method)
            ? String(each.problem)
            : `${String(each.method)}: ${String(each.problem)}`,
        ]
      : [],
  );
  return texts.length === 0 ? message : texts.join("; ");
}

function factsOf(answer: OriginAnswer): FileAnswer {
  return { status: answer.status, header: (name) => answer.headers(name)[0], length: answer.bytes.length };
}

/** The index itself. */
function judgeHead(bytes: Uint8Array, image: string, found: Finding): Finding {
  if (!hasIndexMagic(bytes))
    return warning(
      "index",
      `${found.message}, and is no index of ckmesh`,
      `pack the image with "ckmesh pack"; a foreign .index needs ${image}.ckm.frames.index beside it`,
    );
  try {
    const { head } = decodeHead(bytes.subarray(0, 4096));
    return ok("index", `${found.message}, version ${head.version} of ${head.name}`);
  } catch (err) {
    return failed(
      "index",
      "ERR_INDEX_INVALID",
      `${found.message}, but damaged: ${describeError(err)}`,
      "publish it again",
    );
  }
}
