export { type CloneFolder, openCloneFolder } from "./clone-folder.js";
export { hasTool } from "./has-tool.js";
export { TestCa, type TestCertificate, type TestCertificateOptions } from "./test-ca.js";
export { VirtualClock } from "./virtual-clock.js";
