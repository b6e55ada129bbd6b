import { ConnectionAuth, type PersistenceSwitches } from "./connection-auth.js";
import type { AuthScheme, ConnectionFacts } from "./scheme.js";

/** IIS's own: once per connection. */
const IIS_DEFAULTS: PersistenceSwitches = { authPersistNonNTLM: true, authPersistSingleRequest: false };

/** The schemes of a server; makes one `ConnectionAuth` per connection. */
export class Authenticator {
  readonly #schemes: readonly AuthScheme[];
  readonly #persistence: PersistenceSwitches;

  /** @param schemes in the order in which they are offered */
  constructor(schemes: readonly AuthScheme[], persistence: Partial<PersistenceSwitches> = {}) {
    this.#schemes = schemes;
    this.#persistence = { ...IIS_DEFAULTS, ...persistence };
  }

  connect(connection: ConnectionFacts): ConnectionAuth {
    return new ConnectionAuth(this.#schemes, this.#persistence, connection);
  }
}
