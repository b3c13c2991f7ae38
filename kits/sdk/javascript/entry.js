// What `windlass plugin build` imports; no author does.

import { stopMapping } from "./failure.js";
import { exportsOf } from "./filter.js";

/** The exports of a plugin. The build's last step: after it, the engine's memory is the component. */
export function finish(plugin, interfaces) {
  const made = exportsOf(plugin, interfaces);
  stopMapping();
  return made;
}
