// A filter whose rules are a document: it answers the paths that `answers` names, a JSON file of the
// operator's, and lets every other request pass.
//
// The operator names the file in the filter's table (`documents = { answers = "answers.json" }`);
// the host reads it, and makes the filter anew when it changed. It is read in `configure`, once in
// each instance; a complaint about it names `documents/answers`, and is printed at that line.

import documents from "windlass:host/documents@0.1.0";
import exchange from "windlass:host/exchange@0.1.0";

import { utf8 } from "./query.js";

const NAME = "answers";

// Status and body by path.
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

// Pieces of OpenAPI, for every operation whose route has this filter.
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

// In two pieces, as one that is large would be.
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
