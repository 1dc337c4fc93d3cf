-- The steps that waited, in their order. Nothing is done if the asker thinks of other definitions, or of another window of the
-- calendar, than those that hold: it is told so, and asks again.
-- Asked: begin and end of the time in which the windows hold (seconds), the application's version, other applications with theirs,
-- limits, each packed for itself, steps.

local SHORT = 100  -- leases that are looked at in any case
local OFTEN = 50000  -- how often they are, microseconds; a call that would be refused looks too

local DOING = { reserve = reserve, settle = settle, release = release, extend = extend, renew = renew }
local looked = {}
local TERMS = 1000  -- that are remembered from one call to the next
local terms, count = {}, 0

local function is_known()
  if version + 0 ~= asked[10] then return false end
  for i = 1, #asked[11], 2 do
    if tonumber(call('GET', base .. ':v:' .. asked[11][i]) or 0) ~= asked[11][i + 1] then return false end
  end
  return true
end

-- What is asked of a limit, as the asker packed it: nearly always as it did before.
local function term_of(packed)
  local found = terms[packed]
  if not found then
    found = {}
    found.number, found.most, found.from, found.at, found.blocks, found.strict, found.rolling, found.kept, found.alerts,
      found.turn = cmsgpack.unpack(packed)
    if count == TERMS then terms, count = {}, 0 end
    terms[packed], count = found, count + 1
  end
  return found
end

local function steps()
  if not is_known() then return cmsgpack.pack({ 'changed', now, 0, {} }) end
  if now < asked[8] * SECOND or now >= asked[9] * SECOND then return cmsgpack.pack({ 'turned', now, 0, {} }) end
  local told, waiting, answers = asked[12], asked[13], {}
  for i = 1, #told do
    local term = term_of(told[i])
    limits[term.number] = term
  end
  if now >= (looked[base] or 0) + OFTEN or now < looked[base] then
    looked[base] = now
    sweep(SHORT)
  end
  for i = 1, #waiting do
    local step = waiting[i]
    answers[i] = DOING[step[1]](step, asked[7][i])
  end
  write_rows()
  write_records()
  write_alerts()
  return answer(answers)
end
