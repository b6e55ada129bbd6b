import { AppError } from "@ckmesh/core";
import { type IpNetwork, networkContains, parseIp, parseNetwork } from "@ckmesh/wire";

/** Networks that a setting names. */
export class NetworkList {
  readonly #networks: readonly IpNetwork[];

  /**
   * @param setting for messages
   * @param networks in CIDR notation
   * @throws {AppError} ERR_CONFIG_INVALID
   */
  constructor(setting: string, networks: readonly string[]) {
    this.#networks = networks.map((text) => {
      const network = parseNetwork(text);
      if (network !== undefined) return network;
      throw new AppError(
        "ERR_CONFIG_INVALID",
        `${setting}: ${JSON.stringify(text)} is no network; write for example 10.1.0.0/16`,
      );
    });
  }

  contains(address: string): boolean {
    if (this.#networks.length === 0) return false;
    const ip = parseIp(address);
    return ip !== undefined && this.#networks.some((network) => networkContains(network, ip));
  }
}
