"use strict";

// Builds one form for each operation of openapi.json and shows what the gateway answers. No library, nothing foreign.

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
  const isSent = body !== null && body.text.value !== "";
  if (isSent) headers["Content-Type"] = body.type.value;
  return { method: method.toUpperCase(), headers, body: isSent ? body.text.value : undefined };
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

// What stands between backticks is code, what stands between two asterisks is strong.
function marked(text) {
  return text.split("`").flatMap((part, at) => (at % 2 ? element("code", {}, part) : strong(part)));
}

function strong(text) {
  return text.split("**").map((part, at) => (at % 2 ? element("strong", {}, part) : part));
}

function bodyFields(content) {
  const types = Object.keys(content ?? {});
  if (types.length === 0) return null;
  const type = element("select", {}, ...types.map((name) => element("option", { value: name }, name)));
  const text = element("textarea", { rows: "2", spellcheck: "false" });
  return { content, type, text, labels: [element("label", {}, "content type", type), element("label", {}, "body", text)] };
}

// All examples of one name in an operation are one request.
function exampleNames(fields, body) {
  const holders = [...fields.map(({ parameter }) => parameter), ...Object.values(body?.content ?? {})];
  const named = new Map();
  for (const { examples } of holders) {
    for (const [name, { summary }] of Object.entries(examples ?? {})) named.set(name, summary);
  }
  return named;
}

function fillIn(name, fields, body) {
  for (const { parameter, input } of fields) input.value = String(parameter.examples?.[name]?.value ?? "");
  if (!body) return;
  body.text.value = "";
  for (const [type, { examples }] of Object.entries(body.content)) {
    const example = examples?.[name];
    if (!example) continue;
    body.type.value = type;
    body.text.value = typeof example.value === "string" ? example.value : JSON.stringify(example.value, null, 2);
  }
  body.text.rows = body.text.value.split("\n").length + 1;
}

// A choice of the examples, the first of which is filled in; nothing when there are none to fill in.
function exampleChoice(fields, body) {
  const named = exampleNames(fields, body);
  if (named.size === 0) return [];
  const choice = element("select", {}, ...[...named].map(([name, summary]) => element("option", { value: name }, summary)));
  choice.addEventListener("change", () => fillIn(choice.value, fields, body));
  fillIn(named.keys().next().value, fields, body);
  return [element("label", {}, "example", choice)];
}

function operation(description, path, method, details) {
  const fields = (details.parameters ?? []).map((parameter) => field(resolve(description, parameter)));
  const body = bodyFields(details.requestBody?.content);
  const form = element("form", {}, ...exampleChoice(fields, body), ...fields.map(({ label }) => label), ...(body?.labels ?? []));
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
  const about = element("p", {}, ...marked(details.description ?? ""));
  return element("details", { id: details.operationId }, title, about, form, answers);
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
  const about = description.info.description.trim().split("\n\n").map((text) => element("p", {}, ...marked(text)));
  main.replaceChildren(element("details", {}, element("summary", {}, "About all requests and answers"), ...about), ...sections.values());
}

show().catch((error) => {
  document.getElementById("operations").textContent = `The description could not be loaded: ${error.message}`;
});
