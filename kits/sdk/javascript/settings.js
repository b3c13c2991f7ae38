// Checks the operator's settings against the filter's JSON Schema, and fills in its defaults. It knows
// the keywords below; a schema with another one fails the build, because an author would rely on it.

import { kindOf } from "./text.js";

const KNOWN = new Set([
  "$schema", "$id", "$comment", "title", "description", "examples", "deprecated",
  "type", "enum", "const", "default",
  "properties", "required", "additionalProperties",
  "items", "minItems", "maxItems", "uniqueItems",
  "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum",
  "minLength", "maxLength", "pattern",
]);

const TYPES = new Set(["object", "array", "string", "integer", "number", "boolean"]);

/** Throws for a schema that `checkSettings` cannot check. */
export function checkSchema(schema, at = "") {
  if (typeof schema !== "object" || schema === null) {
    throw new TypeError(`the settings' schema${at} must be an object, not ${kindOf(schema)}`);
  }
  for (const keyword of Object.keys(schema)) {
    if (!KNOWN.has(keyword)) {
      throw new TypeError(`the kit cannot check \`${keyword}\` in the settings' schema${at}; check it in \`configure\``);
    }
  }
  if (schema.type !== undefined && !TYPES.has(schema.type)) {
    throw new TypeError(`the type in the settings' schema${at} must be one of ${[...TYPES].join(", ")}`);
  }
  if (schema.pattern !== undefined) new RegExp(schema.pattern, "u");
  for (const [name, property] of Object.entries(schema.properties ?? {})) {
    checkSchema(property, `${at}/properties/${name}`);
  }
  if (schema.items !== undefined) checkSchema(schema.items, `${at}/items`);
  if (typeof schema.additionalProperties === "object") {
    checkSchema(schema.additionalProperties, `${at}/additionalProperties`);
  }
}

/** Returns the settings with defaults, or adds diagnostics to `found`. */
export function checkSettings(schema, value, found, at = "") {
  const wrong = (message, where = at) => void found.push({ at: where, message });
  if (schema.type !== undefined && !hasType(schema.type, value)) {
    wrong(`must be ${WORDS[schema.type]}, not ${kindOf(value)}`);
    return value;
  }
  if (schema.enum !== undefined && !schema.enum.some((each) => same(each, value))) {
    wrong(`must be one of ${schema.enum.map((each) => JSON.stringify(each)).join(", ")}`);
  }
  if ("const" in schema && !same(schema.const, value)) wrong(`must be ${JSON.stringify(schema.const)}`);
  if (typeof value === "string") checkText(schema, value, wrong);
  if (typeof value === "number") checkNumber(schema, value, wrong);
  if (Array.isArray(value)) return checkList(schema, value, found, at, wrong);
  if (typeof value === "object" && value !== null) return checkTable(schema, value, found, at, wrong);
  return value;
}

const WORDS = {
  object: "a table", array: "a list", string: "a string",
  integer: "a whole number", number: "a number", boolean: "true or false",
};

function hasType(type, value) {
  switch (type) {
    case "object":
      return typeof value === "object" && value !== null && !Array.isArray(value);
    case "array":
      return Array.isArray(value);
    case "integer":
      return Number.isSafeInteger(value);
    default:
      return typeof value === type;
  }
}

function same(one, other) {
  return one === other || JSON.stringify(one) === JSON.stringify(other);
}

function checkText(schema, value, wrong) {
  const length = [...value].length;
  if (length < (schema.minLength ?? 0)) wrong(schema.minLength === 1 ? "is empty" : `needs ${schema.minLength} characters`);
  if (length > (schema.maxLength ?? Infinity)) wrong(`has more than ${schema.maxLength} characters`);
  if (schema.pattern !== undefined && !new RegExp(schema.pattern, "u").test(value)) {
    wrong(`does not match \`${schema.pattern}\``);
  }
}

function checkNumber(schema, value, wrong) {
  if (value < (schema.minimum ?? -Infinity)) wrong(`must be at least ${schema.minimum}`);
  if (value > (schema.maximum ?? Infinity)) wrong(`must be at most ${schema.maximum}`);
  if (value <= (schema.exclusiveMinimum ?? -Infinity)) wrong(`must be above ${schema.exclusiveMinimum}`);
  if (value >= (schema.exclusiveMaximum ?? Infinity)) wrong(`must be below ${schema.exclusiveMaximum}`);
}

function checkList(schema, value, found, at, wrong) {
  if (value.length < (schema.minItems ?? 0)) {
    wrong(schema.minItems === 1 ? "is empty; name at least one" : `needs at least ${schema.minItems} items`);
  }
  if (value.length > (schema.maxItems ?? Infinity)) wrong(`has more than ${schema.maxItems} items`);
  if (schema.uniqueItems && new Set(value.map((each) => JSON.stringify(each))).size < value.length) {
    wrong("names an item twice");
  }
  if (schema.items === undefined) return value;
  return value.map((each, index) => checkSettings(schema.items, each, found, `${at}/${index}`));
}

function checkTable(schema, value, found, at, wrong) {
  const properties = schema.properties ?? {};
  const result = {};
  for (const [name, each] of Object.entries(value)) {
    const where = `${at}/${name.replaceAll("~", "~0").replaceAll("/", "~1")}`;
    const property = Object.hasOwn(properties, name) ? properties[name] : schema.additionalProperties;
    if (property === false) {
      const names = Object.keys(properties);
      const known = names.length === 0 ? "it takes none" : `it takes ${names.map((known) => `\`${known}\``).join(", ")}`;
      wrong(`unknown setting \`${name}\`; ${known}`, where);
    } else {
      const checked = typeof property === "object" ? checkSettings(property, each, found, where) : each;
      Object.defineProperty(result, name, { value: checked, enumerable: true, writable: true, configurable: true });
    }
  }
  for (const name of schema.required ?? []) {
    if (!Object.hasOwn(value, name)) wrong(`lacks \`${name}\``);
  }
  for (const [name, property] of Object.entries(properties)) {
    if (!Object.hasOwn(value, name) && property.default !== undefined) result[name] = property.default;
  }
  return result;
}
