import { pythonFloat } from '../http/errors.ts';

export type Labels = Readonly<Record<string, string>>;

interface Family {
  lines(): Iterable<string>;
}

/** A single number with fixed labels. */
export class Sample {
  value = 0;

  add(amount = 1): void {
    this.value += amount;
  }
}

/**
 * Counts observations in buckets. `observe` runs for every token, so it is a linear search, which mostly ends early.
 * Each bucket has its own count; the page sums them up.
 */
export class Histogram {
  readonly bounds: readonly number[];
  readonly counts: number[];
  count = 0;
  sum = 0;

  constructor(bounds: readonly number[]) {
    this.bounds = bounds;
    this.counts = new Array<number>(bounds.length).fill(0);
  }

  observe(value: number): void {
    this.count += 1;
    this.sum += value;
    const { bounds, counts } = this;
    for (let i = 0; i < bounds.length; i += 1) {
      if (value <= (bounds[i] ?? Infinity)) {
        counts[i] = (counts[i] ?? 0) + 1;
        return;
      }
    }
  }
}

/** The metrics page of one process, in the form of Python's prometheus_client, `_created` series included. */
export class MetricsPage {
  readonly #families: Family[] = [];
  readonly #createdAt = Date.now() / 1000;

  /** One number; `read` gives it when the page is requested. */
  gauge(name: string, help: string, labels: Labels, read: () => number): void {
    this.#families.push({ lines: () => [...head(name, help, 'gauge'), line(name, labels, read())] });
  }

  counter(name: string, help: string, labels: Labels): Sample {
    return this.counters(name, help)(labels);
  }

  /** A counter with several label sets; the series appear with their first use, in that order. */
  counters(name: string, help: string, type: 'counter' | 'gauge' = 'counter'): (labels: Labels) => Sample {
    const series = new Series(() => new Sample());
    this.#families.push({
      lines: () => [
        ...head(name, help, type),
        ...series.all().map(([labels, sample]) => line(name, labels, sample.value)),
        ...(type === 'counter' ? this.#created(name.replace(/_total$/, ''), help, series.labels()) : []),
      ],
    });
    return (labels) => series.get(labels);
  }

  histogram(name: string, help: string, bounds: readonly number[], labels: Labels): Histogram {
    return this.histograms(name, help, bounds)(labels);
  }

  histograms(name: string, help: string, bounds: readonly number[]): (labels: Labels) => Histogram {
    const series = new Series(() => new Histogram(bounds));
    this.#families.push({
      lines: () => [
        ...head(name, help, 'histogram'),
        ...series.all().flatMap(([labels, histogram]) => histogramLines(name, labels, histogram)),
        ...this.#created(name, help, series.labels()),
      ],
    });
    return (labels) => series.get(labels);
  }

  summaries(name: string, help: string): (labels: Labels) => Histogram {
    const series = new Series(() => new Histogram([]));
    this.#families.push({
      lines: () => [
        ...head(name, help, 'summary'),
        ...series
          .all()
          .flatMap(([labels, { count, sum }]) => [
            line(`${name}_count`, labels, count),
            line(`${name}_sum`, labels, sum),
          ]),
        ...this.#created(name, help, series.labels()),
      ],
    });
    return (labels) => series.get(labels);
  }

  render(): string {
    return `${this.#families.flatMap((family) => [...family.lines()]).join('\n')}\n`;
  }

  #created(name: string, help: string, labels: readonly Labels[]): string[] {
    if (name.startsWith('python_') || name.startsWith('process_')) return [];
    const series = `${name}_created`;
    return [...head(series, help, 'gauge'), ...labels.map((each) => line(series, each, this.#createdAt))];
  }
}

class Series<T> {
  readonly #byLabels = new Map<string, readonly [Labels, T]>();
  readonly #create: () => T;

  constructor(create: () => T) {
    this.#create = create;
  }

  get(labels: Labels): T {
    const key = labelText(labels);
    let entry = this.#byLabels.get(key);
    if (entry === undefined) this.#byLabels.set(key, (entry = [labels, this.#create()]));
    return entry[1];
  }

  all(): readonly (readonly [Labels, T])[] {
    return [...this.#byLabels.values()];
  }

  labels(): Labels[] {
    return this.all().map(([labels]) => labels);
  }
}

function head(name: string, help: string, type: string): string[] {
  return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`];
}

function histogramLines(name: string, labels: Labels, histogram: Histogram): string[] {
  let total = 0;
  const buckets = histogram.bounds.map((bound, i) => {
    total += histogram.counts[i] ?? 0;
    return line(`${name}_bucket`, { ...labels, le: pythonFloat(bound) }, total);
  });
  return [
    ...buckets,
    line(`${name}_bucket`, { ...labels, le: '+Inf' }, histogram.count),
    line(`${name}_count`, labels, histogram.count),
    line(`${name}_sum`, labels, histogram.sum),
  ];
}

function line(name: string, labels: Labels, value: number): string {
  return `${name}${labelText(labels)} ${pythonFloat(value)}`;
}

function labelText(labels: Labels): string {
  const pairs = Object.entries(labels)
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, value]) => `${name}="${value.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`);
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}
