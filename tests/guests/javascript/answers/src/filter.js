// A filter whose rules are a document. It responds to the paths that the operator's JSON file
// `answers` names, and lets every other request pass.
//
// The operator names the file in the filter's table (`documents = { answers = "answers.json" }`);
// Windlass reads the file, and makes new instances after it changes. `configure` reads it once in
// each instance; an error about it names `documents/answers`, and Windlass prints it at that line.

import { SettingsError, documents, filter, next, respond } from "../sdk/index.js";

const NAME = "answers";

export default filter({
  name: "answers-javascript",
  version: "0.1.0",
  summary: "answers the paths that its document names (in JavaScript)",
  settings: { type: "object" },

  // The status and the body by path.
  configure() {
    const text = documents.text(NAME);
    if (text === null) throw new SettingsError("", `add \`documents = { ${NAME} = "<file>.json" }\``);
    try {
      return new Map(Object.entries(JSON.parse(text)));
    } catch {
      throw new SettingsError(`documents/${NAME}`, `\`${NAME}\` is not JSON`);
    }
  },

  onRequest(request, answers) {
    const answer = answers.get(request.path);
    if (answer === undefined) return next();
    const { status, body } = answer;
    return respond(status, { reason: "answered", headers: { "content-type": "text/plain" }, body });
  },

  // Parts of OpenAPI, for every operation whose route has this filter.
  describeApi(answers) {
    const responses = {};
    for (const [path, { status }] of answers) {
      responses[status] = { description: `what a document answers to ${path}` };
    }
    return { responses, "x-answers": [...answers.keys()] };
  },
});
