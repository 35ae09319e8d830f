-- wrk -s load.lua URL              GET
--                                  (each * in its path another of a thousand words, every time)
-- wrk -s load.lua URL -- BODIES    POST the lines of the file BODIES in turn, each thread from another line on

local threads = 0
local bodies = nil
local next_body = 0

function setup(thread)
  thread:set("offset", threads)
  threads = threads + 1
end

function init(arguments)
  if not arguments[1] then
    local path = wrk.path
    if path:find("*", 1, true) then
      local word = offset * 311
      request = function()
        local filled = path:gsub("%*", function()
          word = (word + 37) % 1000
          return "word" .. word
        end)
        return wrk.format("GET", filled)
      end
    end
    return
  end
  bodies = {}
  wrk.headers["Content-Type"] = "application/json"
  for line in io.lines(arguments[1]) do
    bodies[#bodies + 1] = wrk.format("POST", nil, nil, line)
  end
  next_body = offset * 97 % #bodies
  request = function()
    next_body = next_body % #bodies + 1
    return bodies[next_body]
  end
end

-- One line for the driver: answers, microseconds, answers that are not 2xx or 3xx, broken connections, latencies.
function done(summary, latency)
  local errors = summary.errors
  io.write(string.format("RESULT %d %d %d %d %d %d\n", summary.requests, summary.duration, errors.status,
    errors.connect + errors.read + errors.write + errors.timeout, latency:percentile(50), latency:percentile(99)))
end
