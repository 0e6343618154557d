import type { Server } from 'node:http';
import { logLine, serverLine } from '../log.ts';
import type { Simulator } from '../simulator.ts';

/** How long vLLM's watchdog takes to notice the engine's death if no request does. */
const WATCHDOG_MS = 5000;
/** From the death to the closed port, and from there to the exit. */
const PORT_CLOSES_MS = 100;
const EXIT_MS = 500;

/**
 * Ends the process as vLLM ends: on SIGTERM and SIGINT, and after the engine's death (with exit code 0 in all cases).
 * A real vLLM needs some seconds after its last request; the simulator does not wait.
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
    // Without a timer the process would exit after the server is closed.
    setInterval(() => undefined, 1 << 30);
    return;
  }
  engine.drain();
  // A connection ends with its running request instead of waiting for another one.
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
    // 0.33 falls silent and exits once its clients have closed their streams.
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
