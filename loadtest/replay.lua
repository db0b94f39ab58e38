-- Replays requests from a file, drawn uniformly, so that wrk does the same work for every system.
--
-- Arguments: file, seed, and, when answers are to be looked at, a text and how often a good answer's body holds it.
-- The file has, for each request, its length in bytes as text, a newline, the request, a newline.
-- Looking at answers costs wrk time, so it is done while warming up and not while measuring.

local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

local function read_requests(path)
  local file = assert(io.open(path, "rb"))
  local found = {}
  for length in function() return file:read("*n") end do
    file:read(1)
    found[#found + 1] = file:read(length)
  end
  file:close()
  return found
end

local function occurrences(body, text)
  local count, at = 0, 1
  while true do
    local first, last = string.find(body, text, at, true)
    if not first then return count end
    count, at = count + 1, last + 1
  end
end

function init(args)
  local requests = read_requests(args[1])
  math.randomseed(tonumber(args[2]))
  request = function() return requests[math.random(#requests)] end
  checked, bad, example = 0, 0, ""
  if args[3] then
    local text, count = args[3], tonumber(args[4])
    response = function(status, _, body)
      checked = checked + 1
      if status ~= 200 or occurrences(body, text) ~= count then
        bad = bad + 1
        if example == "" then example = status .. " " .. string.sub(body, 1, 300) end
      end
    end
  end
end

local function quoted(text)
  return '"' .. string.gsub(text, '[%c"\\\128-\255]', function(c) return string.format("\\u%04x", string.byte(c)) end) .. '"'
end

function done(summary, latency)
  local seen, wrong, shown = 0, 0, ""
  for _, thread in ipairs(threads) do
    seen = seen + thread:get("checked")
    wrong = wrong + thread:get("bad")
    if shown == "" then shown = thread:get("example") end
  end
  local errors = summary.errors
  io.write(string.format(
    'RESULT {"requests":%d,"seconds":%.6f,"p50_ms":%.3f,"p99_ms":%.3f,"p999_ms":%.3f,"max_ms":%.3f,' ..
    '"connection_errors":%d,"timeouts":%d,"refused":%d,"checked":%d,"bad":%d,"example":%s}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    latency:percentile(99.9) / 1e3,
    latency.max / 1e3, errors.connect + errors.read + errors.write, errors.timeout, errors.status, seen, wrong,
    quoted(shown)))
end
