import type { Labels, Metrics } from "@ckmesh/core";

export interface PrometheusMetrics extends Metrics {
  /** Everything in Prometheus' text format. */
  text(): Promise<string>;
  readonly contentType: string;
}

/**
 * How often the lag of the event loop is sampled, ms. The library's 10 wake an idle client a hundred times a second,
 * which is more than all its other work.
 */
const LAG_SAMPLE_MS = 250;

/**
 * Instruments in a registry of their own, so that two programs in one process do not mix. The library is loaded here
 * only: a client, whose metrics nobody could read, does without it.
 */
export async function createMetrics(
  options: { readonly processMetrics?: boolean } = {},
): Promise<PrometheusMetrics> {
  const { default: prom } = await import("prom-client");
  const registry = new prom.Registry();
  if (options.processMetrics !== false) {
    prom.collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: LAG_SAMPLE_MS });
  }
  const made = new Map<string, unknown>();
  const once = <T>(name: string, kind: new (...args: never[]) => T, make: () => T): T => {
    const found = made.get(name);
    if (found instanceof kind) return found;
    if (found !== undefined) throw new Error(`unreachable: ${name} is registered as another kind`);
    const instrument = make();
    made.set(name, instrument);
    return instrument;
  };
  return {
    counter(name, help, labelNames = []) {
      const counter = once(
        name,
        prom.Counter,
        () => new prom.Counter<string>({ name, help, labelNames: [...labelNames], registers: [registry] }),
      );
      return { add: (amount = 1, labels: Labels = {}) => counter.inc({ ...labels }, amount) };
    },
    gauge(name, help, labelNames = []) {
      const gauge = once(
        name,
        prom.Gauge,
        () => new prom.Gauge<string>({ name, help, labelNames: [...labelNames], registers: [registry] }),
      );
      return { set: (value, labels: Labels = {}) => gauge.set({ ...labels }, value) };
    },
    histogram(name, help, buckets, labelNames = []) {
      const histogram = once(
        name,
        prom.Histogram,
        () =>
          new prom.Histogram<string>({
            name,
            help,
            buckets: [...buckets],
            labelNames: [...labelNames],
            registers: [registry],
          }),
      );
      return { observe: (value, labels: Labels = {}) => histogram.observe({ ...labels }, value) };
    },
    text: () => registry.metrics(),
    contentType: registry.contentType,
  };
}
