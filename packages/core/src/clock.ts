/** What protocol and policy code may know of time; all values in ms. */
export interface Clock {
  /** Monotonic: never goes back, may stand still while the machine sleeps. */
  now(): number;
  /** Unix time: may jump either way. */
  wall(): number;
  /** Runs once after `ms` of monotonic time; returns a function that cancels it. */
  after(ms: number, run: () => void): () => void;
}
