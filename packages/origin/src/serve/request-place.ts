import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { TransferPlace } from "@ckmesh/swarm";
import { formatNetwork, type IpAddress, isPrivateIp, networkOf, parseIp } from "@ckmesh/wire";
import { plainAddress } from "../listener/request-facts.js";
import { siteLabelOf } from "../listener/site-headers.js";
import type { SiteMap } from "./site-map.js";

/** Addresses in one private network of this length are one site (as in a LAN's plan); in IPv6 one subnet. */
const PRIVATE_SUBNET = 24;
const IPV6_SUBNET = 64;

type AddressPlace = Omit<TransferPlace, "label">;

/** Finds out where requests come from: address map, then the client's own word, then its network (rule 2). */
export class RequestPlaces {
  #siteMap: SiteMap;
  /** What a connection's address says changes with the map only: it is looked up once. */
  #known = new WeakMap<Socket, AddressPlace>();

  constructor(siteMap: SiteMap) {
    this.#siteMap = siteMap;
  }

  get siteMap(): SiteMap {
    return this.#siteMap;
  }

  /** From the next request on. */
  replace(siteMap: SiteMap): void {
    this.#siteMap = siteMap;
    this.#known = new WeakMap();
  }

  of(request: IncomingMessage): TransferPlace {
    const { socket } = request;
    let place = this.#known.get(socket);
    if (place === undefined) {
      place = this.#look(plainAddress(socket.remoteAddress ?? ""));
      this.#known.set(socket, place);
    }
    const label = place.mapped === undefined ? siteLabelOf(request) : undefined;
    return label === undefined ? place : { ...place, label };
  }

  #look(text: string): AddressPlace {
    const mapped = this.#siteMap.siteOf(text);
    const ip = parseIp(text);
    const group = ip === undefined ? text : groupOf(ip);
    // A machine chooses freely within its IPv6 subnet.
    const address = ip?.kind() === "ipv6" ? group : text;
    return { ...(mapped !== undefined && { mapped }), group, address };
  }
}

function groupOf(ip: IpAddress): string {
  if (ip.kind() === "ipv6") return formatNetwork(networkOf(ip, IPV6_SUBNET));
  return isPrivateIp(ip) ? formatNetwork(networkOf(ip, PRIVATE_SUBNET)) : ip.toString();
}
