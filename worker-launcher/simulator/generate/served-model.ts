import { randomBytes } from 'node:crypto';
import { hashText } from '../text/hash.ts';
import type { SimulatorSettings } from '../command-line/settings.ts';

/** How answers name the model and the server behind them. */
export interface ServedModel {
  readonly settings: SimulatorSettings;
  /** the first served name, whichever the request has */
  readonly name: string;
  readonly fingerprint: string;
  /** a member that 0.33 added to each finished choice */
  readonly weightVersions: { readonly weight_versions?: null };
  nowSeconds(): number;
  /** the id of one tool call */
  callId(): string;
}

export function createServedModel(settings: SimulatorSettings): ServedModel {
  const hash = hashText(JSON.stringify(settings.given)).toString(16).padStart(8, '0');
  return {
    settings,
    name: settings.names[0] ?? settings.model,
    fingerprint: `vllm-${settings.version}.0-${hash}`,
    weightVersions: settings.version === '0.32' ? {} : { weight_versions: null },
    nowSeconds: () => Math.floor(Date.now() / 1000),
    callId: () => `chatcmpl-tool-${randomBytes(8).toString('hex')}`,
  };
}

/** `GET /v1/models`: one entry for each served name. */
export function modelList(served: ServedModel): object {
  const { settings } = served;
  const created = served.nowSeconds();
  return {
    object: 'list',
    data: settings.names.map((id) => ({
      id,
      object: 'model',
      created,
      owned_by: 'vllm',
      root: settings.model,
      parent: null,
      max_model_len: settings.maxModelLength,
      permission: [
        {
          id: `modelperm-${randomBytes(8).toString('hex')}`,
          object: 'model_permission',
          created,
          allow_create_engine: false,
          allow_sampling: true,
          allow_logprobs: true,
          allow_search_indices: false,
          allow_view: true,
          allow_fine_tuning: false,
          organization: '*',
          group: null,
          is_blocking: false,
        },
      ],
    })),
  };
}
