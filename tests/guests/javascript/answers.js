// A filter whose rules are a document. It responds to the paths that the operator's JSON file
// `answers` names, and lets every other request pass.
//
// The operator names the file in the filter's table (`documents = { answers = "answers.json" }`);
// Windlass reads the file, and makes new instances after it changes. `configure` reads it once in
// each instance; an error about it names `documents/answers`, and Windlass prints it at that line.

import documents from "windlass:host/documents@0.1.0";
import exchange from "windlass:host/exchange@0.1.0";

import { utf8 } from "./query.js";

const NAME = "answers";

// The status and the body by path.
let answers = new Map();

export const lifecycle = {
  describe() {
    return {
      name: "answers-javascript",
      version: "0.1.0",
      settingsSchema: undefined,
      summary: "answers the paths that its document names (in JavaScript)",
    };
  },

  configure() {
    answers = readAnswers(readText());
    return { provides: [], sometimes: [], requires: [], series: [] };
  },
};

// Parts of OpenAPI, for every operation whose route has this filter.
export const description = {
  contribute() {
    const responses = {};
    for (const [path, { status }] of answers) {
      responses[status] = { description: `what a document answers to ${path}` };
    }
    return JSON.stringify({ responses, "x-answers": [...answers.keys()] });
  },
};

export const requestPhase = {
  onRequest() {
    const answer = answers.get(exchange.path());
    if (answer === undefined) return { tag: "next", val: { tag: "skip" } };
    const { status, body } = answer;
    const headers = [["content-type", utf8("text/plain")]];
    return { tag: "respond", val: { status, headers, body: utf8(body), reason: "answered" } };
  },
};

// Reads the document in two parts, as a large one needs.
function readText() {
  const size = documents.size(NAME);
  if (size === null || size === undefined) {
    throw [{ at: "", message: `add \`documents = { ${NAME} = "<file>.json" }\`` }];
  }
  const half = Math.floor(Number(size) / 2);
  const first = documents.read(NAME, 0, half);
  const second = documents.read(NAME, half, Number(size) - half);
  let text = "";
  // ASCII is enough here.
  for (const byte of [...first, ...second]) text += String.fromCharCode(byte);
  return text;
}

function readAnswers(text) {
  let written;
  try {
    written = JSON.parse(text);
  } catch {
    throw [{ at: `documents/${NAME}`, message: `\`${NAME}\` is not JSON` }];
  }
  return new Map(Object.entries(written));
}
