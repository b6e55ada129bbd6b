import { defineConfig } from "vitest/config";

/** They build networks of namespaces (test/lab). */
const LAB_TESTS = "test/e2e/lab-*.test.ts";

// Sources, not dist: no stale build. Only worker threads run from dist (Node cannot load .ts there).
export default defineConfig({
  ssr: { resolve: { conditions: ["ckmesh-src"] } },
  test: {
    // One by default on two cores, and then everything takes more than 20 minutes there.
    maxWorkers: 2,
    projects: [
      {
        extends: true,
        test: {
          name: "unit",
          include: ["packages/*/test/**/*.test.ts"],
          testTimeout: 20_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        extends: true,
        test: {
          name: "integration",
          include: ["test/integration/**/*.test.ts"],
          testTimeout: 60_000,
          hookTimeout: 60_000,
          // Whole programs: they wait more than they compute, so two files go well side by side.
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true,
        test: {
          name: "e2e",
          include: ["test/e2e/**/*.test.ts"],
          exclude: [LAB_TESTS],
          testTimeout: 180_000,
          hookTimeout: 180_000,
          sequence: { groupOrder: 1 },
        },
      },
      {
        extends: true,
        test: {
          name: "lab",
          include: [LAB_TESTS],
          testTimeout: 180_000,
          hookTimeout: 180_000,
          // Rates are measured: two labs leave half of two cores idle, two of the other files need not.
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
});
