export * from "./peer-messages.js";
export * from "./tracker-messages.js";
