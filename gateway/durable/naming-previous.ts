import type { ClientStream } from '../answer/client-stream.ts';
import type { Rendered } from '../answer/renderers.ts';
import { TranslatedClient } from '../answer/translated.ts';

const NONE = '"previous_response_id":';
/** No text of an answer has it: quotation marks in a text are escaped. */
const PATTERN = /"previous_response_id":\s*null/g;

/** A client whose response names the one before it, which no engine knows. */
export function namingPrevious(client: ClientStream, id: string): ClientStream {
  return new NamingPrevious(client, `${NONE}${JSON.stringify(id)}`);
}

class NamingPrevious extends TranslatedClient {
  readonly #named: string;

  constructor(client: ClientStream, named: string) {
    super(client, (events) => (events.includes(NONE) ? events.toString().replaceAll(PATTERN, () => named) : events));
    this.#named = named;
  }

  override send(answer: Rendered): void {
    super.send({ ...answer, body: answer.body.toString().replaceAll(PATTERN, () => this.#named) });
  }
}
