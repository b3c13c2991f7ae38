/// <reference path="./globals.d.ts" />

/** A text in UTF-8, or bytes. */
export type Content = string | Uint8Array | ArrayBuffer;

/** Fields: an object, or pairs if a name occurs more than once or the order matters. */
export type Fields = Record<string, Content> | ReadonlyArray<readonly [name: string, value: Content]>;

// --- verdicts -------------------------------------------------------------------------------------------------

declare const verdict: unique symbol;
interface Verdict<Kind extends string> {
  readonly [verdict]: Kind;
}

/** How a filter gets a body: not at all, chunk by chunk, or at once up to so many bytes. */
export type BodyMode = "skip" | "chunks" | { whole: number };

export type Next = Verdict<"next">;
export type RequestVerdict = Next | Verdict<"route"> | Verdict<"respond">;
export type ResponseVerdict = Next | Verdict<"respond">;
export type ChunkVerdict = Next | Verdict<"more"> | Verdict<"done"> | Verdict<"respond">;

/** Lets the message go on. `body` says how this filter gets its body; without it, not at all. */
export function next(body?: BodyMode): Next;

/** In a body phase: keeps the chunk, and gets it again joined with the next one. */
export function more(): Verdict<"more">;

/** In a body phase: lets the chunk and all that follows pass without further calls. */
export function done(): Verdict<"done">;

/** Refuses the request. The gateway writes the body in the error style of the API, with `reason` as its code: a word
 *  in snake_case. */
export function refuse(status: number, reason: string, headers?: Fields): Verdict<"respond">;

/** Answers in place of the endpoint; in `onResponse`, in place of its response. */
export function respond(
  status: number,
  response?: { reason?: string; headers?: Fields; body?: Content },
): Verdict<"respond">;

/** Lets the request go on, with a preference for the upstream and the endpoint. */
export function route(
  hint: {
    /** The operator must grant it: `allow = { upstreams = [..] }`. */
    upstream?: string;
    labels?: Record<string, string> | ReadonlyArray<readonly [string, string]>;
    /** A key for balancers that pick by one. */
    affinity?: Content;
    /** Lowers the upstream's first-byte time-out. */
    timeoutMs?: number;
  },
  body?: BodyMode,
): Verdict<"route">;

// --- the exchange ---------------------------------------------------------------------------------------------

export type AttributeValue = string | number | boolean | Uint8Array;

/** What requests, responses and bodies share: facts of the exchange. */
export interface Exchange {
  /** A fact that the gateway or an earlier filter set, such as `client.ip`; null if there is none. */
  attribute(name: string): AttributeValue | null;
  /** Sets a fact for later filters, the access log and the balancer. The operator must grant its name. */
  setAttribute(name: string, value: AttributeValue): void;
  /** Sets several in one call: all of them, or none. */
  setAttributes(values: Record<string, AttributeValue>): void;
  /** What an earlier phase of this filter kept for this exchange, as text. */
  note(key: string): string | null;
  noteBytes(key: string): Uint8Array | null;
  /** Keeps something for a later phase. A module's variables cannot: phases may run in different instances. */
  setNote(key: string, value: Content | number): void;
}

/** The fields of a head. Every read and every edit is one call of the gateway. Edits throw `EditError`. */
export interface Head extends Exchange {
  /** The first value of a field; null if there is none, or if it is not UTF-8. */
  header(name: string): string | null;
  headerBytes(name: string): Uint8Array | null;
  headerAll(name: string): string[];
  /** All fields. It copies the whole head: prefer the calls above. */
  headers(): Array<[name: string, value: string]>;
  /** Replaces all values of the name. */
  setHeader(name: string, value: Content): void;
  /** Sets several fields in one call: all of them, or none. */
  setHeaders(fields: Fields): void;
  /** Adds a value after those that are there. */
  appendHeader(name: string, value: Content): void;
  /** Removes all values. Returns how many there were. */
  removeHeader(name: string): number;
}

export interface Request extends Head {
  /** Can be set in request phases, like `authority` and `path`. The route stays. */
  method: string;
  readonly scheme: string;
  authority: string;
  /** With its query, as it will be forwarded. */
  path: string;
  readonly originalPath: string;
  /** What the route's pattern bound to this name, decoded. To build a path from it, use `rawParams`. */
  pathParam(name: string): string | null;
  /** The first value of a query parameter, decoded. */
  queryParam(name: string): string | null;
}

export interface Response extends Head {
  /** 200 to 599. Can be set in response phases. */
  status: number;
}

export interface Body<Of extends Head> extends Exchange {
  /** How many bytes the gateway holds now: of this chunk, or of the whole body. */
  readonly length: number;
  /** Whether this is the end of the body. */
  readonly last: boolean;
  /** The fields after the body; only in the last call. */
  readonly trailers: Head;
  /** The head that the body belongs to. Its fields can be edited if the body came as a whole. */
  readonly head: Of;
  bytes(offset?: number, length?: number): Uint8Array<ArrayBuffer>;
  text(): string;
  /** Throws a `SyntaxError` if it is not JSON. */
  json(): unknown;
  replace(content: Content): void;
  prepend(content: Content): void;
  append(content: Content): void;
}

/** The gateway refused an edit. Uncaught, it fails the phase, and all edits of the phase are undone. */
export class EditError extends Error {
  readonly reason: "syntax" | "forbidden" | "too-late" | "too-large";
}

// --- a filter -------------------------------------------------------------------------------------------------

/** JSON Schema of settings: the keywords that the kit checks. */
export interface Schema {
  readonly type?: "object" | "array" | "string" | "integer" | "number" | "boolean";
  readonly title?: string;
  readonly description?: string;
  readonly examples?: readonly unknown[];
  readonly deprecated?: boolean;
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly default?: unknown;
  readonly properties?: { readonly [name: string]: Schema };
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | Schema;
  readonly items?: Schema;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly uniqueItems?: boolean;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly exclusiveMaximum?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  /** A regular expression with the flag `u`. */
  readonly pattern?: string;
}

/** The type of the settings that a schema describes. */
export type SettingsOf<S> = S extends { enum: readonly (infer Each)[] }
  ? Each
  : S extends { type: "string" }
    ? string
    : S extends { type: "integer" | "number" }
      ? number
      : S extends { type: "boolean" }
        ? boolean
        : S extends { type: "array"; items: infer Items }
          ? SettingsOf<Items>[]
          : S extends { type: "array" }
            ? unknown[]
            : S extends { type: "object"; properties: infer Properties }
              ? TableOf<S, Properties>
              : S extends { type: "object"; additionalProperties: infer Each extends Schema }
                ? Record<string, SettingsOf<Each>>
                : unknown;

type Present<S, Properties> = {
  [Name in keyof Properties]: S extends { required: readonly (infer Required)[] }
    ? Name extends Required
      ? Name
      : WithDefault<Properties, Name>
    : WithDefault<Properties, Name>;
}[keyof Properties];
type WithDefault<Properties, Name extends keyof Properties> = Properties[Name] extends { default: unknown } ? Name : never;
type TableOf<S, Properties> = {
  [Name in Present<S, Properties>]: SettingsOf<Properties[Name]>;
} & {
  [Name in Exclude<keyof Properties, Present<S, Properties>>]?: SettingsOf<Properties[Name]>;
};

/** What `configure` declares to the gateway. */
export interface Setup {
  /** Attributes that the filter always sets when it lets a request pass. */
  readonly provides: string[];
  /** Attributes that it sets in some cases. */
  readonly sometimes: string[];
  /** Attributes that it cannot work without. */
  readonly requires: string[];
  /** Declares a series. Returns its index for `metrics.add`. */
  counter(name: string, labels?: string[]): number;
  gauge(name: string, labels?: string[]): number;
  histogram(name: string, labels?: string[]): number;
}

/** A filter. Each function but `configure` needs a line in `wit/world.wit`, as `windlass plugin build` says. An
 *  exception in a phase fails the request (`on_error` decides what the client gets), and the log has its message with
 *  file and line. No function may be async: nothing here waits. */
export interface FilterOptions<S, State> {
  name: string;
  version: string;
  /** One line, which `windlass check` prints. */
  summary: string;
  /** JSON Schema of the settings. The kit checks the operator's settings against it, and fills in the defaults. Without
   *  one, the filter takes no settings. `{ type: "object" }` takes any. */
  settings?: S;
  /** Runs once in each instance. What it returns is what the phases get as `state`; without it, the settings. Throw
   *  `SettingsError` for settings that are wrong. */
  configure?(settings: SettingsOf<S>, setup: Setup): State;
  /** On the request's head. */
  onRequest?(request: Request, state: State): RequestVerdict;
  /** On the request's body, if `onRequest` asked for it. */
  onRequestBody?(body: Body<Request>, state: State): ChunkVerdict;
  /** On the response's head, also a refusal's or an error's. */
  onResponse?(response: Response, state: State, request: Readonly<Request>): ResponseVerdict;
  /** On the response's body, if `onResponse` asked for it. */
  onResponseBody?(body: Body<Response>, state: State): ChunkVerdict;
  /** After the exchange. It can change nothing. */
  onLog?(request: Readonly<Request>, state: State, response: Readonly<Response>): void;
  /** Parts of OpenAPI 3.1 for the operations whose route has this filter (`windlass:filter/description`). */
  describeApi?(state: State): object;
}

/** A filter whose phases get the settings. */
export function filter<const S extends Schema>(
  options: FilterOptions<S, SettingsOf<S>> & { configure?: undefined },
): Filter;
/** A filter whose phases get what `configure` returns. */
export function filter<const S extends Schema, State>(options: FilterOptions<S, State>): Filter;

declare const isFilter: unique symbol;
/** Export it as default. */
export interface Filter {
  readonly [isFilter]: true;
}

/** Wrong settings. `at` is a JSON pointer into them (`/allow/0`), `documents/NAME` for a document, or empty for all. */
export class SettingsError extends Error {
  constructor(at: string, message: string);
  constructor(list: ReadonlyArray<{ at: string; message: string }>);
}

// --- text -----------------------------------------------------------------------------------------------------

/** The UTF-8 bytes of a text. */
export function encode(text: string): Uint8Array<ArrayBuffer>;
/** The text of UTF-8 bytes. What is not UTF-8 becomes U+FFFD. */
export function decode(bytes: Uint8Array): string;
/** Null if the text is not hexadecimal. */
export function fromHex(text: string): Uint8Array<ArrayBuffer> | null;
/** Null if the text is not base64. */
export function fromBase64(text: string, options?: { alphabet?: "base64" | "base64url" }): Uint8Array<ArrayBuffer> | null;

// --- host interfaces ------------------------------------------------------------------------------------------
// Each needs `import windlass:host/NAME@0.1.0;` in wit/world.wit, and most need the operator's grant.

type Level = "trace" | "debug" | "info" | "warn" | "error";
type Write = (message: string, fields?: Record<string, unknown>) => void;

/** Lines in the gateway's log. Never write a secret. */
export const log: Record<Level, Write> & {
  /** Whether lines of this level are written: ask before you build a long one. */
  enabled(level: Level): boolean;
};

export interface ApiKey {
  id: string;
  consumer: string;
  plan: string | null;
  attributes: Array<[string, string]>;
}
type KeyReject = "unknown" | "disabled" | "expired";

/** API keys. Grant `keys`. */
export const keys: {
  find(presented: Content): { key: ApiKey; rejected: null } | { key: null; rejected: KeyReject };
  /** Sets the key's attributes. One call, which copies nothing into the filter: prefer it to `find`. */
  identify(presented: Content): "accepted" | KeyReject;
  /** The same with the key in a field of the request, which it removes unless `hide` is false. */
  identifyField(name: string, options?: { hide?: boolean }): "accepted" | "missing" | KeyReject;
};

/** A cache in the gateway's memory, shared by the filter's instances. Grant `cache`. */
export const cache: {
  get(key: string): string | null;
  getBytes(key: string): Uint8Array | null;
  /** False if it is too large: 64 KiB with its key. */
  put(key: string, value: Content, ttlMs: number): boolean;
  delete(key: string): void;
  /** Adds to a number, and returns the sum. */
  increment(key: string, delta: number, ttlMs: number): number;
};

type Hash = "sha256" | "sha384" | "sha512";

/** Digests and HMAC by the gateway. Grant `crypto`, and each secret: `allow = { secrets = [..] }`. */
export const crypto: {
  digest(hash: Hash, data: Content): Uint8Array;
  /** Whether `tag` is the HMAC of the data, compared in constant time. False for null. */
  hmacVerify(hash: Hash, secret: string, data: Content, tag: Uint8Array | null): boolean;
  hmacSign(hash: Hash, secret: string, data: Content): Uint8Array;
};

/** The filter's series, which `setup.counter` and the like declare. Grant `metrics`. */
export const metrics: {
  add(series: number, value?: number, labels?: readonly string[]): void;
};

/** Files that the operator named: `documents = { list = "list.txt" }`. Read them in `configure`. */
export const documents: {
  names(): string[];
  size(name: string): number | null;
  bytes(name: string): Uint8Array | null;
  text(name: string): string | null;
  digest(name: string): Uint8Array | null;
};

export interface LimitLevel {
  limit: number;
  remaining: number;
  windowMs: number;
  resetMs: number;
}
export interface LimitDecision {
  allowed: boolean;
  refusedBy: "method" | "plan" | "quota" | "route" | "gateway" | "unavailable" | null;
  retryAfterMs: number;
  rate: LimitLevel | null;
  quota: LimitLevel | null;
  ticket: number;
}

/** The rates and quotas of usage plans, and token buckets of the filter. Grant `limits`. */
export const limits: {
  charge(
    cost?: number,
    plan?: string | null,
  ): { decision: LimitDecision; uncharged: null } | { decision: null; uncharged: "no-key" | "no-plan" | "unknown-plan" };
  take(plan: string, key: string, cost?: number): LimitDecision | null;
  takeInline(key: string, bucket: { cost?: number; capacity: number; refillPerSecond: number }): LimitDecision;
  giveBack(ticket: number): void;
  standing(): { rate: LimitLevel | null; quota: LimitLevel | null } | null;
};

export interface RateBound {
  name: string;
  by?:
    | "all"
    | "client-address"
    | { clientAddress: { ipv4: number; ipv6: number } }
    | { attribute: string }
    | { header: string }
    | { pathParam: string };
  missing?: "share" | "skip" | "deny";
  algorithm?: "token-bucket" | "sliding-window";
  limit: number;
  windowMs: number;
  /** `limit` unless it is given. */
  burst?: number;
  shadow?: boolean;
}

/** The filter's own limits, by any value. Grant `rates`. */
export const rates: {
  /** In `configure`, once. */
  define(bounds: readonly RateBound[]): void;
  /** `by` and `shadowed` are bits: the lowest is the first limit. */
  take(cost?: number): {
    outcome: "allowed" | "refused" | "missing" | "unavailable";
    by: number;
    shadowed: number;
    retryAfterMs: number;
  };
  standing(): Array<LimitLevel & { bound: number }>;
};

/** Advice to the operator, in `configure`. */
export const advice: {
  warn(at: string, message: string): void;
  vouch(field: string): void;
  clear(field: string): void;
  read(field: string): void;
};

/** Preflights of browsers. */
export const preflights: {
  /** In `configure`: says that `onRequest` answers them. */
  answer(): void;
};

export interface ResponseEdits {
  set(name: string, value: Content): ResponseEdits;
  append(name: string, value: Content): ResponseEdits;
  /** Adds a member to a list such as `vary`, unless it is there. */
  addMember(name: string, value: Content): ResponseEdits;
  remove(name: string): ResponseEdits;
  /** Gives the edits to the gateway: all of them, or none. */
  apply(): void;
}

/** Edits of a response that is not there yet, without a response phase: `responseEdits.set("x-a", "1").apply()`. */
export const responseEdits: Omit<ResponseEdits, "apply"> & {
  /** In `configure`: `onResponse` has nothing to do with these settings. */
  skipOnResponse(): void;
};

/** More members of a problem body (RFC 9457), for a refusal of this phase. */
export const problemMembers: {
  set(members: Record<string, unknown>): boolean;
};

/** The APIs of the configuration. Grant `api-description`. */
export const apiDescription: {
  read(): unknown;
  digest(): Uint8Array;
};

/** Parameters as the client encoded them, to build paths, queries and redirects from. */
export const rawParams: {
  pathParam(name: string): string | null;
  queryParam(name: string): string | null;
};

export interface Call {
  /** `GET` unless it is given. */
  method?: string;
  /** Follows the target's URL: empty, `/path` or `?query`. */
  path?: string;
  headers?: Fields;
  body?: Content;
  /** A secret that the gateway adds, by its name. */
  credential?: { bearer: string } | { basic: [user: string, secret: string] } | { formField: [name: string, secret: string] };
  /** Which other calls may share the response. */
  share?: "alone" | "identical" | { keyed: Content };
}
export interface Answer {
  readonly status: number;
  readonly headers: Array<[string, string]>;
  header(name: string): string | null;
  bytes(): Uint8Array;
  text(): string;
  json(): unknown;
}

/** Calls to other servers, in `onRequest` (`windlass:callout/calls`). Grant `callout`, and each target. */
export const callout: {
  /** The first call throws `NotYet`, which ends the phase: let it pass. The gateway runs the phase again when the
   *  response is there, and the same call then returns it. Throws `CallError` if there is no response. */
  call(target: string, call?: Call): Answer;
};
export class CallError extends Error {
  readonly reason: "invalid" | "not-here" | "busy" | "timeout" | "unreachable" | "too-large";
}

export interface Proof {
  value: string;
  origin?: string | null;
  maxAgeMs: number;
}
export interface TokenCheck {
  verifiers: string[];
  scopes?: string[];
  anyScope?: boolean;
  claims?: Array<{ claim: string; attribute: string; required?: boolean }>;
  tokenField?: { name: string; scheme?: string | null; hide?: boolean };
}

/** JSON Web Tokens (`windlass:jwt/tokens`). Grant `jwt`. Null means accepted; a word says why not: for logs. */
export const tokens: {
  /** In `configure`. Returns the check's number. */
  define(check: TokenCheck): number;
  verify(token: string, check: number, proof?: Proof | null): string | null;
  verifyField(check: number): string | null;
  checkProof(proof: Proof, token: string, thumbprint: string): string | null;
  claim(name: string): unknown;
};
