import type { Server } from 'node:http';
import { logLine, serverLine } from '../log.ts';
import type { Simulator } from '../simulator.ts';

/** How long vLLM's watchdog takes to notice a death that no request has met. */
const WATCHDOG_MS = 5000;
/** From the death to the closed port, and from there to the exit. */
const PORT_CLOSES_MS = 100;
const EXIT_MS = 500;

/**
 * Ends the process as vLLM ends: on SIGTERM and SIGINT, and after the engine's death (with exit code 0 in all cases).
 * Real ones need some seconds after their last request; nobody waits for that here.
 */
export function watchForTheEnd(server: Server, simulator: Simulator): void {
  const { engine, faults, settings } = simulator;
  let isStopping = false;
  const stop = (): void => {
    if (isStopping) return;
    isStopping = true;
    stopOnSignal(server, simulator);
  };
  process.on('SIGTERM', stop);
  process.on('SIGINT', stop);

  engine.onDeath((wasBusy) => {
    if (settings.staysAfterEngineDeath) return;
    const leave = (): void => {
      serverLine('Shutting down');
      server.close();
      server.closeIdleConnections();
      setTimeout(() => process.exit(faults.exitCode), EXIT_MS);
    };
    setTimeout(leave, wasBusy ? PORT_CLOSES_MS : WATCHDOG_MS);
  });
}

function stopOnSignal(server: Server, { engine, faults, settings }: Simulator): void {
  const seconds = settings.shutdownTimeoutSeconds;
  const mode = seconds > 0 ? 'drain' : 'abort';
  logLine('EngineCore', 'INFO', 'core.py:1712', `[shutdown] EngineCore: start mode=${mode} timeout=${seconds}s`);
  if (faults.hangsOnSigterm) {
    engine.scheduler.freeze();
    server.close();
    server.closeIdleConnections();
    // The closed server alone would let the process end.
    setInterval(() => undefined, 1 << 30);
    return;
  }
  engine.drain();
  // Connections end with their running request instead of waiting for a next one.
  server.keepAliveTimeout = 1;
  const timer = setTimeout(() => {
    endRunning();
    leave();
  }, seconds * 1000);
  engine.scheduler.whenIdle(() => {
    clearTimeout(timer);
    leave();
  });

  function endRunning(): void {
    if (seconds === 0) engine.scheduler.abortAll();
    else if (settings.version === '0.32') engine.die();
    // 0.33 falls silent and leaves once its clients have closed their streams.
    else engine.scheduler.freeze();
  }

  function leave(): void {
    logLine('APIServer', 'INFO', 'launcher.py:306', '[shutdown] API server: shutting down FastAPI HTTP server');
    server.close(() => {
      serverLine('Application shutdown complete.');
      process.exit(0);
    });
    server.closeIdleConnections();
  }
}
