import { AppError } from "@ckmesh/core";
import { type IpNetwork, isSiteLabel, networkContains, parseIp, parseNetwork } from "@ckmesh/wire";

/** Which site an address belongs to, by the administrator's address map. */
export class SiteMap {
  readonly #networks: readonly { readonly label: string; readonly network: IpNetwork }[];

  /**
   * @param sites label → networks in CIDR notation
   * @throws {AppError} ERR_CONFIG_INVALID
   */
  constructor(sites: Readonly<Record<string, readonly string[]>>) {
    this.#networks = Object.entries(sites)
      .flatMap(([label, networks]) =>
        networks.map((text) => ({ label: checkLabel(label), network: parse(label, text) })),
      )
      .toSorted((a, b) => b.network.prefixLength - a.network.prefixLength);
  }

  /** The label of the narrowest network that holds the address. */
  siteOf(address: string): string | undefined {
    const ip = parseIp(address);
    if (ip === undefined) return undefined;
    return this.#networks.find(({ network }) => networkContains(network, ip))?.label;
  }
}

function checkLabel(label: string): string {
  if (isSiteLabel(label)) return label;
  throw new AppError("ERR_CONFIG_INVALID", `sites: ${JSON.stringify(label)} is no site label`);
}

function parse(label: string, text: string): IpNetwork {
  const network = parseNetwork(text);
  if (network !== undefined) return network;
  throw new AppError(
    "ERR_CONFIG_INVALID",
    `sites.${label}: ${JSON.stringify(text)} is no network; write for example 10.1.0.0/16`,
  );
}
