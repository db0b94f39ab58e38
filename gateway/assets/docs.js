"use strict";

// Builds one form for each operation of openapi.json and shows what the gateway answers. No library, nothing foreign.

const EXAMPLES = {
  PutBody: { value: { hello: "world" }, ttl: 60 },
  TouchBody: { ttl: 60 },
  BulkPutBody: { operations: [{ key: "a", value: 1 }, { key: "b", value: [true, null], ttl: 60 }] },
  BulkGetBody: { keys: ["a", "b"], with_ttl: true },
  BulkDeleteBody: { keys: ["a", "b"] },
  BulkTouchBody: { operations: [{ key: "a", ttl: 60 }] },
  Conditions: {},
  IncrementBody: { by: 1, initial: 0 },
  TxnBody: {
    compare: [{ key: "{db}primary", exists: false }],
    success: [{ op: "put", key: "{db}primary", value: "a" }, { op: "put", key: "{db}standby", value: "b" }],
    failure: [{ op: "get", key: "{db}primary" }],
  },
  QuotaBody: { limit: 10, window: 60, cost: 1, algorithm: "gcra" },
  LockAcquireBody: { owner: "worker-1", ttl: 30, wait_ms: 1000 },
  LockRenewBody: { owner: "worker-1", fence: 1, ttl: 30 },
  LockReleaseBody: { owner: "worker-1", fence: 1 },
  InstanceBody: { address: "10.0.0.1", port: 8080, metadata: { zone: "a" }, ttl: 30 },
  TokenBody: { name: "app", scopes: [{ prefix: "app/", verbs: ["read", "write"] }], expires_in: 86400 },
  RotateBody: { overlap: 3600 },
};

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

function resolve(description, reference) {
  if (!reference.$ref) return reference;
  return reference.$ref.slice(2).split("/").reduce((node, name) => node[name], description);
}

function field(parameter) {
  const schema = parameter.schema ?? {};
  let input;
  if (schema.enum || schema.type === "boolean") {
    const choices = schema.enum ?? ["true", "false"];
    input = element("select", {}, element("option", { value: "" }, "(not given)"));
    for (const choice of choices) input.append(element("option", { value: choice }, String(choice)));
  } else {
    input = element("input", { placeholder: String(schema.default ?? "") });
  }
  if (parameter.required) input.required = true;
  const note = parameter.description ? ` – ${parameter.description}` : "";
  return { parameter, input, label: element("label", {}, `${parameter.name} (${parameter.in})${note}`, input) };
}

function address(path, fields) {
  const query = new URLSearchParams();
  for (const { parameter, input } of fields) {
    if (parameter.in === "path") path = path.replace(`{${parameter.name}}`, () => encodeURIComponent(input.value));
    else if (parameter.in === "query" && input.value !== "") query.set(parameter.name, input.value);
  }
  return query.size ? `${path}?${query}` : path;
}

function requestOptions(method, fields, body) {
  const headers = {};
  for (const { parameter, input } of fields) {
    if (parameter.in === "header" && input.value !== "") headers[parameter.name] = input.value;
  }
  const token = document.getElementById("token").value;
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body) headers["Content-Type"] = "application/json";
  return { method: method.toUpperCase(), headers, body: body ? body.value : undefined };
}

// A number of more digits than a double holds would be shown as another one: such an answer stays as it came.
const LONG_NUMBER = /\d{16}/;

function shown(text) {
  if (LONG_NUMBER.test(text)) return text;
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text;
  }
}

const SHOWN_CHARS = 100_000;

async function follow(answer, output) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    output.textContent = (output.textContent + part.value).slice(-SHOWN_CHARS);
  }
}

const following = new WeakMap();

async function run(method, path, fields, body, output) {
  const url = address(path, fields);
  const started = performance.now();
  following.get(output)?.abort();
  const ending = new AbortController();
  following.set(output, ending);
  try {
    const answer = await fetch(url, { ...requestOptions(method, fields, body), signal: ending.signal });
    const isStream = (answer.headers.get("content-type") ?? "").startsWith("text/event-stream");
    const text = isStream ? "" : await answer.text();
    const took = (performance.now() - started).toFixed(1);
    const headers = [...answer.headers].map(([name, value]) => `${name}: ${value}`).join("\n");
    output.textContent = `${method.toUpperCase()} ${url}\n${answer.status} in ${took} ms\n${headers}\n\n${shown(text)}`;
    if (isStream) await follow(answer, output);
  } catch (error) {
    if (ending.signal.aborted) return;
    output.textContent = `${method.toUpperCase()} ${url}\nno answer: ${error.message}`;
  }
}

// What stands between backticks is code.
function marked(text) {
  return text.split("`").map((part, at) => (at % 2 ? element("code", {}, part) : part));
}

function operation(description, path, method, details) {
  const fields = (details.parameters ?? []).map((parameter) => field(resolve(description, parameter)));
  const form = element("form", {}, ...fields.map(({ label }) => label));
  const reference = details.requestBody?.content?.["application/json"]?.schema?.$ref;
  let body = null;
  if (reference) {
    const example = JSON.stringify(EXAMPLES[reference.split("/").pop()] ?? {}, null, 2);
    body = element("textarea", { rows: String(example.split("\n").length + 1), spellcheck: "false" });
    body.value = example;
    form.append(element("label", {}, "body (JSON)", body));
  }
  const output = element("pre", { hidden: "" });
  form.append(element("button", { type: "submit" }, "Send"), output);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    output.hidden = false;
    run(method, path, fields, body, output);
  });
  const answers = element("table");
  for (const [status, answer] of Object.entries(details.responses)) {
    const meaning = resolve(description, answer).description;
    answers.append(element("tr", {}, element("td", {}, status), element("td", {}, ...marked(meaning))));
  }
  const title = element("summary", {}, element("span", { class: "method" }, method.toUpperCase()), element("code", {}, path), ` ${details.summary}`);
  return element("details", { id: details.operationId }, title, form, answers);
}

async function show() {
  const main = document.getElementById("operations");
  const description = await (await fetch("/api/v1/openapi.json")).json();
  const sections = new Map();
  for (const [path, methods] of Object.entries(description.paths)) {
    for (const [method, details] of Object.entries(methods)) {
      const [tag] = details.tags;
      if (!sections.has(tag)) sections.set(tag, element("section", {}, element("h2", {}, tag)));
      sections.get(tag).append(operation(description, path, method, details));
    }
  }
  main.replaceChildren(...sections.values());
}

show().catch((error) => {
  document.getElementById("operations").textContent = `The description could not be loaded: ${error.message}`;
});
