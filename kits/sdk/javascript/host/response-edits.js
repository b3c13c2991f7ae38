// Edits of the response that a filter gives before there is one. The gateway makes them without a call.

import edits from "windlass:host/response-edits";
import { EditError } from "../failure.js";
import { toBytes } from "../text.js";

// The edits of one call, in order: `responseEdits.set("x-a", "1").append("vary", "x-b").apply()`.
class Edits {
  #list = [];
  set(name, value) {
    return this.#add({ tag: "set", val: [name, toBytes(value)] });
  }
  append(name, value) {
    return this.#add({ tag: "append", val: [name, toBytes(value)] });
  }
  addMember(name, value) {
    return this.#add({ tag: "add-member", val: [name, toBytes(value)] });
  }
  remove(name) {
    return this.#add({ tag: "remove", val: name });
  }
  apply() {
    try {
      edits.edit(this.#list);
    } catch (error) {
      throw typeof error.payload === "string" ? new EditError("edit the response", error.payload) : error;
    }
  }
  #add(edit) {
    this.#list.push(edit);
    return this;
  }
}

const calls = {
  set: (name, value) => new Edits().set(name, value),
  append: (name, value) => new Edits().append(name, value),
  addMember: (name, value) => new Edits().addMember(name, value),
  remove: (name) => new Edits().remove(name),
  skipOnResponse: () => edits.skipOnResponse(),
};

export { calls as responseEdits };
