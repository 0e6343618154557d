/** Classes of service inside the share of one caller's key: OpenAI's `service_tier`. */
export const SERVICE_CLASSES = ['priority', 'default', 'flex'] as const;
export type ServiceClass = (typeof SERVICE_CLASSES)[number];
