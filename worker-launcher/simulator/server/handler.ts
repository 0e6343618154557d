import type { Exchange } from '../http/exchange.ts';
import type { Simulator } from '../simulator.ts';

/** Answers one request of one route. */
export type Handler = (exchange: Exchange, simulator: Simulator) => void | Promise<void>;
