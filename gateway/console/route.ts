/** The pages of the console, and the part of the address that names them. */
export const PAGES = [
  { id: 'playground', title: 'Playground' },
  { id: 'live', title: 'Live' },
  { id: 'models', title: 'Models' },
  { id: 'usage', title: 'Usage' },
] as const;
export type PageId = (typeof PAGES)[number]['id'];

/** @param hash such as `#/live` */
export function pageOf(hash: string): PageId {
  return PAGES.find(({ id }) => hash === `#/${id}`)?.id ?? 'playground';
}
