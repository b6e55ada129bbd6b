/** One line of a figure. */
export interface Series {
  readonly name: string;
  readonly colour: string;
  readonly points: readonly (readonly [number, number])[];
}

export interface Figure {
  readonly title: string;
  readonly x: string;
  readonly y: string;
  readonly series: readonly Series[];
  /** A dashed vertical line, such as a bound. */
  readonly mark?: number;
  /** Left end of the x axis; 0 by default. */
  readonly from?: number;
}

const [WIDTH, HEIGHT, PAD] = [640, 360, 52];

/** A figure with one or more lines as a small SVG without scripts or fonts of its own. */
export function svgCurve({ title, x, y, series, mark, from = 0 }: Figure): string {
  const all = series.flatMap((s) => s.points);
  const mostX = Math.max(from + 1e-9, mark ?? from, ...all.map(([at]) => at));
  const mostY = Math.max(1e-9, ...all.map(([, value]) => value));
  const px = (v: number): string => (PAD + ((WIDTH - 2 * PAD) * (v - from)) / (mostX - from)).toFixed(1);
  const py = (v: number): string => (HEIGHT - PAD - ((HEIGHT - 2 * PAD) * v) / mostY).toFixed(1);
  const ticks = [0, 0.25, 0.5, 0.75, 1].map((part) => {
    const [vx, vy] = [from + part * (mostX - from), part * mostY];
    return `<text x="${px(vx)}" y="${HEIGHT - PAD + 18}" text-anchor="middle">${label(vx)}</text><text x="${PAD - 6}" y="${py(vy)}" text-anchor="end">${label(vy)}</text>`;
  });
  const lines = series.map(({ colour, points }) => {
    const path = points.map(([at, value]) => `${px(at)},${py(value)}`).join(" ");
    return `<polyline points="${path}" fill="none" stroke="${colour}" stroke-width="2"/>`;
  });
  const legend = series.map(
    ({ name, colour }, i) =>
      `<text x="${WIDTH - PAD}" y="${PAD + 16 * (i + 1)}" text-anchor="end" fill="${colour}">${name}</text>`,
  );
  const dashed =
    mark === undefined
      ? ""
      : `<line x1="${px(mark)}" y1="${py(0)}" x2="${px(mark)}" y2="${py(mostY)}" stroke="#bbb" stroke-dasharray="4"/>`;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">
<rect width="100%" height="100%" fill="white"/><text x="${PAD}" y="24" font-size="14">${title}</text>
${dashed}<path d="M${PAD} ${PAD}V${HEIGHT - PAD}H${WIDTH - PAD}" fill="none" stroke="black"/>
${ticks.join("")}
<text x="${WIDTH / 2}" y="${HEIGHT - 10}" text-anchor="middle">${x}</text><text x="14" y="${PAD - 12}">${y}</text>
${lines.join("\n")}
${legend.join("")}</svg>
`;
}

function label(value: number): string {
  return String(Number(value.toPrecision(3)));
}

/** The share of `values` that are at most x, as points. */
export function cumulative(values: readonly number[], steps = 200): (readonly [number, number])[] {
  const sorted = values.toSorted((a, b) => a - b);
  return Array.from({ length: steps + 1 }, (_, i) => {
    const at = Math.min(sorted.length - 1, Math.floor((sorted.length * i) / steps));
    return [sorted[at] ?? 0, i / steps] as const;
  });
}
