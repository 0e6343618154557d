// The clients' imports are not in this repository's node_modules.
declare module '@ai-sdk/*';
declare module '@anthropic-ai/*';
declare module '@langchain/*';
declare module '@openai/*';
declare module 'ai';
declare module 'ai/package.json';
