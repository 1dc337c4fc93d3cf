-- Shares of a limit at which to tell: each once a window, to one settle alone, and into the outbox until somebody has told it.

local OUTBOX = 10000  -- alerts that wait at most; if nobody tells any, the oldest go

local function has(told, share)
  return (told .. ' '):find(' ' .. share .. ' ', 1, true)
end

local function is_told(one, share)
  if one.term.rolling == 0 then return has(one.row.told, share) end
  for told, ends in one.total.told:gmatch('(%S+)@(%d+)') do
    if told == share and tonumber(ends) > one.total.cut then return true end
  end
  return false
end

-- Of a rolling window the slice remembers, and what the slices come to: so a share is told once in the length of it.
local function remember(one, share)
  put(one.row, 'told', one.row.told .. ' ' .. share)
  if one.term.rolling > 0 then
    local kept = ''
    for told, ends in one.total.told:gmatch('(%S+)@(%d+)') do
      if tonumber(ends) > one.total.cut then kept = kept .. ' ' .. told .. '@' .. ends end
    end
    one.total.told, one.total.changed = kept .. ' ' .. share .. '@' .. one.row.ends, true
  end
end

-- Whether the limit is reached before its window ends if spending goes on as it does; its first tenth tells too little.
local function is_forecast(one)
  local term, spent = one.term, one.total.spent
  local begun, length = one.row.starts * SECOND, 0
  if begun > 0 then length = one.row.ends * SECOND - begun end
  if term.rolling > 0 then
    local _, first = slices(term, one.row.key, true, false)
    begun, length = first and first.starts * SECOND or now, term.rolling * SECOND
  end
  local elapsed = now - begun
  if length == 0 or not less(spent, term.most) or elapsed < math.floor(length / 10) or elapsed > length then return false end
  return tonumber(spent) * length >= tonumber(term.most) * elapsed  -- a forecast needs no more than a double
end

local function cross(one, crossed)
  for _, alert in ipairs(one.term.alerts) do
    local share, from = alert[1], alert[2]
    local due
    if share == 'forecast' then due = is_forecast(one) else due = not less(one.total.spent, from) end
    if due and not is_told(one, share) then
      remember(one, share)
      local starts = bounds(one)
      local told = { one.term.number, one.row.key, share, one.total.spent, starts }
      crossed[#crossed + 1] = told
      alerts[#alerts + 1] = told
    end
  end
end

local function write_alerts()
  for i = 1, #alerts do
    local told = alerts[i]
    local id = string.format('%012.0f', call('HINCRBY', base, 'alerts', 1))
    local of = call('HMGET', base .. ':l:' .. told[1], 'application', 'limit_id', 'name', 'unit_name', 'most', 'window')
    local packed = cmsgpack.pack({ of[1], of[2], of[3], told[2], told[3], of[4], told[4], of[5], of[6], told[5], now })
    call('HSET', base .. ':o', id, packed)
    call('ZADD', base .. ':free', 0, id)
  end
  if #alerts > 0 and call('ZCARD', base .. ':free') > OUTBOX then
    local old = call('ZPOPMIN', base .. ':free', #alerts)
    for i = 1, #old, 2 do call('HDEL', base .. ':o', old[i]) end
  end
end
