export {
  type HeadAnswer,
  type HeadConditions,
  OriginHttp,
  type OriginHttpOptions,
  type RangeRequest,
} from "./origin-http.js";
