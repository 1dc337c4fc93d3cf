-- The steps that waited, in their order. Nothing is done if the asker thinks of other definitions, or of another window of the
-- calendar, than those that hold: it is told so, and asks again.
-- Asked: begin and end of the time in which the windows hold (seconds), the application's version, other applications with theirs,
-- limits, steps.

local SHORT = 100  -- leases that are looked at in any case
local OFTEN = 50000  -- how often they are, microseconds; a call that would be refused looks too

local DOING = { reserve = reserve, settle = settle, release = release, extend = extend, renew = renew }
local looked = {}

local function is_known()
  if tonumber(version) ~= asked[10] then return false end
  for i = 1, #asked[11], 2 do
    if tonumber(call('GET', base .. ':v:' .. asked[11][i]) or 0) ~= asked[11][i + 1] then return false end
  end
  return true
end

local function steps()
  if not is_known() then return cmsgpack.pack({ 'changed', now, 0, {} }) end
  if now < asked[8] * SECOND or now >= asked[9] * SECOND then return cmsgpack.pack({ 'turned', now, 0, {} }) end
  for _, term in ipairs(asked[12]) do
    limits[term[1]] = {
      number = term[1], most = term[2], from = term[3], at = term[4], blocks = term[5], strict = term[6],
      rolling = term[7], kept = term[8], alerts = term[9],
    }
  end
  if now >= (looked[base] or 0) + OFTEN or now < looked[base] then
    looked[base] = now
    sweep(SHORT)
  end
  local answers = {}
  for i, step in ipairs(asked[13]) do answers[i] = DOING[step[1]](step, asked[7][i]) end
  write_rows()
  write_records()
  write_alerts()
  return answer(answers)
end
