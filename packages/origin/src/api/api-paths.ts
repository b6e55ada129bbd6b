import type { Right } from "@ckmesh/auth";

/** `open`: nobody is asked who they are. `change` is also given by `admin`. */
type Need = "open" | Extract<Right, "read" | "change">;

interface ApiPath {
  /** Of the path without its query, upper and lower case alike. */
  readonly pattern: RegExp;
  /** What a method needs; HEAD needs what GET does. Methods that are not here are refused. */
  readonly needs: Readonly<Record<string, Need>>;
}

/** Every path that is no file of the virtual directory. The routes themselves are added elsewhere. */
const API_PATHS: readonly ApiPath[] = [
  // They say nothing of images or users.
  { pattern: /^\/(?:healthz|metrics)$/i, needs: { GET: "open" } },
  { pattern: /^\/ckmesh\/(?:catalogue|ticket|api\/status)$/i, needs: { GET: "read" } },
  { pattern: /^\/ckmesh\/api\/outcome$/i, needs: { POST: "read" } },
  { pattern: /^\/ckmesh\/api\/images\/[^/]+\/control$/i, needs: { PUT: "change" } },
  { pattern: /^\/ckmesh\/api\/uploads$/i, needs: { GET: "change" } },
  { pattern: /^\/ckmesh\/api\/uploads\/[^/]+$/i, needs: { DELETE: "change" } },
  { pattern: /^\/ckmesh\/api\/images$/i, needs: { GET: "change" } },
  { pattern: /^\/ckmesh\/api\/images\/[^/]+$/i, needs: { GET: "change", DELETE: "change" } },
  { pattern: /^\/ckmesh\/api\/images\/[^/]+\/versions\/[^/]+$/i, needs: { GET: "change", DELETE: "change" } },
];
/** What all of them begin with: told apart from files at once, for there are many more requests of those. */
const API_PREFIX = /^\/(?:ckmesh\/|healthz$|metrics$)/i;
/** Of the virtual directory. */
const FILES: Readonly<Record<string, Need>> = { GET: "read" };

/** True for paths that reach the routes of the API; everything else is the virtual directory's. */
export function isApiPath(path: string): boolean {
  return findApiPath(path) !== undefined;
}

export interface RequestNeed {
  readonly need: Need;
  /** False: refuse it, to whoever has what `need` says. */
  readonly isPossible: boolean;
  /** For the header `Allow`. */
  readonly methods: readonly string[];
}

/** What a request needs, whatever its path and method. */
export function needOf(method: string, path: string): RequestNeed {
  const needs = findApiPath(path)?.needs ?? FILES;
  const known = method === "HEAD" ? "GET" : method;
  const need = Object.hasOwn(needs, known) ? needs[known] : undefined;
  return {
    need: need ?? (needs["GET"] === "open" ? "open" : "read"),
    isPossible: need !== undefined,
    methods: Object.keys(needs).flatMap((name) => (name === "GET" ? ["GET", "HEAD"] : [name])),
  };
}

function findApiPath(path: string): ApiPath | undefined {
  return API_PREFIX.test(path) ? API_PATHS.find(({ pattern }) => pattern.test(path)) : undefined;
}
