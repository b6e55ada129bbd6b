import { ConnectionAuth } from "./connection-auth.js";
import type { AuthScheme, ConnectionFacts } from "./scheme.js";

/** The schemes of a server; makes one `ConnectionAuth` per connection. */
export class Authenticator {
  readonly #schemes: readonly AuthScheme[];

  /** @param schemes in the order in which they are offered */
  constructor(schemes: readonly AuthScheme[]) {
    this.#schemes = schemes;
  }

  connect(connection: ConnectionFacts): ConnectionAuth {
    return new ConnectionAuth(this.#schemes, connection);
  }
}
