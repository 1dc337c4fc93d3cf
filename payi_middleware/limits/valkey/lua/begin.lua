-- What every script begins with: whether the data is what the asker knows, and what time it is.
-- Asked of all: the ledger's id, the latest time that the asker was told, the time (0: the server's), an application (or empty),
-- how long a lease is, how long a call is known after its end or its lease's, calls whose records are read along; then more.
-- Times are microseconds.
-- What is below is set anew by `begin`, as a function of the server's keeps its variables from call to call.

local SECOND = 1000000
local LEASE, KEPT = 5, 6  -- where what is asked of all says so
local COARSE = 10000  -- the clock is written that seldom, microseconds: each write is the replicas' and the log's too

local call, base, asked, now, before
local version  -- of the application's definitions, as text
local read  -- records of calls, as they are kept, by event
local limits, rows, totals, records, alerts, past, swept  -- totals and records by name, and one after another
local changed  -- rows that are to be written
local still  -- whether rows are read as they are kept, for who only looks

-- What time it is, where the data's clock stands at what is kept of it.
local function set_clock(kept)
  now, before = asked[3], kept + 0
  if now == 0 then
    local told = call('TIME')
    now = told[1] * SECOND + told[2]
  end
  -- The clock never goes back: not when the server's is set, nor when another server, whose clock is behind, takes over.
  if now < before then now = before end
  if now < asked[2] then now = asked[2] end
end

local function keep_clock()
  if now >= before + COARSE then call('SET', base .. ':clock', string.format('%.0f', now)) end
end

-- Nil, or the answer to who knows other data. Called with the first key and what is asked.
local function begin(key, arguments)
  call, base, asked = redis.call, key, arguments
  limits, rows, changed, totals, records, alerts, past, swept, still = {}, {}, {}, {}, {}, {}, {}, 0, false
  local events, kept = asked[7]
  if #events == 1 then
    kept = call('MGET', base .. ':id', base .. ':clock', base .. ':v:' .. asked[4], base .. ':h:' .. events[1])
  else
    local names = { base .. ':id', base .. ':clock', base .. ':v:' .. asked[4] }
    for i = 1, #events do names[i + 3] = base .. ':h:' .. events[i] end
    kept = call('MGET', unpack(names))
  end
  if kept[1] ~= asked[1] then return cmsgpack.pack({ 'lost' }) end
  set_clock(kept[2])
  keep_clock()
  version, read = kept[3] or '0', {}
  for i = 1, #events do read[events[i]] = kept[i + 3] end
end

-- A clock that stands well before what was told already is one of data that is older: the latest writes were lost.
local function behind()
  return before + 2 * COARSE < asked[2] and before or 0
end

local function answer(given)
  return cmsgpack.pack({ 'done', now, behind(), given })
end
