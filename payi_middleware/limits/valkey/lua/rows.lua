-- Limits, and the rows in which their accounts are counted. What a script reads it remembers, and writes when all is decided:
-- a script that fails has changed nothing.

-- What the rules ask of a limit, by its number. The asker sends what it knows of those that it asks about; any other is read,
-- and one that is gone is still known, for what is held in its rows.
local function limit(number)
  local found = limits[number]
  if found then return found end
  local told = call(
    'HMGET', base .. ':l:' .. number, 'most', 'from', 'unit', 'blocks', 'strict', 'rolling', 'kept', 'alerts', 'gone', 'turn'
  )
  found = {
    number = number, most = told[1] or '0', from = told[2], at = tonumber(told[3] or 1), blocks = told[4] == '1',
    strict = told[5] == '1', rolling = tonumber(told[6] or 0), kept = tonumber(told[7] or 0),
    alerts = cmsgpack.unpack(told[8] or '\144'), gone = told[9] or not told[1],
    turn = tonumber(told[10] or 0),
  }
  limits[number] = found
  return found
end

local go_through

local function unpacked(
  name, number, starts, key,
  ends, most, spent, held, input, output, ok, exceeded, overrun, blocked, blocked_external, failed, told, turn
)
  return {
    name = name, number = number, starts = starts, key = key, ends = ends, most = most, spent = spent, held = held,
    input = input, output = output, ok = ok, exceeded = exceeded, overrun = overrun, blocked = blocked,
    blocked_external = blocked_external, failed = failed, told = told, turn = turn or 0,
  }
end

-- All that is counted in a row is one value, packed: a field of a hash takes as long to read or write as ten of these.
local function row_at(number, starts, key)
  local name = base .. ':r:' .. number .. ':' .. starts .. ':' .. key
  local row = rows[name]
  if row == nil then
    local kept = call('GET', name)
    row = kept and unpacked(name, number, starts, key, cmsgpack.unpack(kept))
    rows[name] = row
    if row and not still and row.turn < limit(number).turn then go_through(row) end
  end
  return row
end

local function put(row, field, value)
  row[field] = value
  if not row.changed then row.changed, changed[#changed + 1] = true, row end
end

-- Rows whose window is long over go by themselves, and out of the indexes of their account and limit as one is noted. What they
-- had come to when they were reset does not go with them.
local function note_end(row, term)
  local ends, index, accounts = row.ends, base .. ':x:' .. row.number .. ':' .. row.key, base .. ':k:' .. row.number
  local second = math.floor(now / SECOND)
  if term.turn > 0 then
    for _, starts in ipairs(call('ZRANGEBYSCORE', index, '(0', second - term.kept)) do
      row_at(row.number, tonumber(starts), row.key)
    end
  end
  call('ZREMRANGEBYSCORE', index, '(0', second - term.kept)
  call('ZADD', index, ends, row.starts)
  call('ZREMRANGEBYSCORE', accounts, '-inf', second)
  call('ZADD', accounts, 'GT', ends > 0 and ends + term.kept or '+inf', row.key)
  if ends > 0 then
    row.left = math.max(1, ends + term.kept - second)
    local last = call('ZRANGE', index, -1, -1, 'WITHSCORES')[2]  -- the index is kept as long as the last of them
    call('EXPIRE', index, math.max(row.left, last + term.kept - second))
  else
    call('PERSIST', index)
  end
end

local COUNTED = { 'spent', 'input', 'output', 'ok', 'exceeded', 'overrun', 'blocked', 'blocked_external', 'failed' }

-- After a reset: only what is held stays.
local function begin_anew(row)
  for i = 1, #COUNTED do put(row, COUNTED[i], '0') end
  put(row, 'told', '')
end

-- What a row had come to at a reset; nothing if nothing was counted in it.
local function past_of(row, most, at, ends)
  local found, blank = { row.key, most, at, row.starts > 0 and row.starts or row.ends, ends }, true
  for i = 1, #COUNTED do
    local counted = row[COUNTED[i]]
    blank, found[i + 5] = blank and counted == '0', counted
  end
  found[15] = row.held
  return not blank and found
end

-- A row goes through the turns of its limit that it has missed: all accounts were reset, or windows became others (`rows.Turn`).
function go_through(row)
  local term = limit(row.number)
  for _, turn in ipairs(cmsgpack.unpack(call('HGET', base .. ':l:' .. row.number, 'turns'))) do
    local number, at, starts, ends, rolling, most, is_reset = unpack(turn)
    if number > row.turn then
      local counted = row.starts == starts
      if rolling > 0 then counted = row.ends * SECOND > at - rolling * SECOND and row.ends - row.starts <= rolling end
      if is_reset and counted then
        local found = past_of(row, most, at, ends)
        if found then past[#past + 1] = { row.number, found } end
        begin_anew(row)
      end
      if starts > 0 and row.starts == starts and row.ends ~= ends then
        put(row, 'ends', ends)
        note_end(row, term)
      end
    end
  end
  put(row, 'turn', term.turn)
end

local MOST = 10000  -- of what a limit's accounts had come to at resets that is kept

local function keep_past(number, found)
  local name = base .. ':p:' .. number
  for i = 1, #found do call('RPUSH', name, cmsgpack.pack(found[i])) end
  call('LTRIM', name, -MOST, -1)
end

-- Its end is negative where a row without a window is to tell, in the place of its end, when it was begun.
local function made_row(number, starts, ends, key)
  local row = row_at(number, starts, key)
  if row and row.ends >= ends then return row end
  local term = limit(number)
  if ends < 0 then ends = math.floor(now / SECOND) end
  if not row then
    row = {
      name = base .. ':r:' .. number .. ':' .. starts .. ':' .. key, number = number, starts = starts, key = key,
      most = term.most, spent = '0', held = '0', input = '0', output = '0', ok = '0', exceeded = '0', overrun = '0',
      blocked = '0', blocked_external = '0', failed = '0', told = '', turn = term.turn,
    }
    rows[row.name] = row
  end
  row.ends = ends  -- or its limit had a shorter window, which began at the same time
  note_end(row, term)
  return row
end

-- Until when what ended no longer counts in a rolling window, in seconds. A slice counts until all of it is out.
local function cut_of(term)
  return math.floor(now / SECOND - term.rolling)
end

-- The live slices of an account in the order in which they end: all, or those up to the first in which there is something.
local function slices(term, key, spent, held)
  local found, cut, from = {}, cut_of(term), 0
  local index = base .. ':x:' .. term.number .. ':' .. key
  while true do
    local page = call('ZRANGEBYSCORE', index, '(' .. cut, '+inf', 'LIMIT', from, 8)
    for _, starts in ipairs(page) do
      local row = row_at(term.number, tonumber(starts), key)
      if row and row.ends > cut and row.ends - row.starts <= term.rolling then
        found[#found + 1] = row
        if spent and row.spent ~= '0' or held and row.held ~= '0' then return found, row end
      end
    end
    if #page < 8 then return found end
    from = from + 8
  end
end

-- What all live slices come to, added up anew.
local function add_up(total, term, key)
  total.spent, total.held, total.told, total.changed = '0', '0', '', true
  for _, row in ipairs(slices(term, key)) do
    total.spent, total.held = sum(total.spent, row.spent), sum(total.held, row.held)
    for share in row.told:gmatch('%S+') do total.told = total.told .. ' ' .. share .. '@' .. row.ends end
  end
end

-- Take out the slices that counted until some time, and no longer do; false if one of them went before it was taken out.
local function take_out(total, term, key, cut)
  local index = base .. ':x:' .. term.number .. ':' .. key
  for _, starts in ipairs(call('ZRANGEBYSCORE', index, '(' .. cut, total.cut)) do
    local row = row_at(term.number, tonumber(starts), key)
    if not row then return false end
    if row.ends - row.starts <= term.rolling then
      total.spent, total.held = sum(total.spent, '-' .. row.spent), sum(total.held, '-' .. row.held)
    end
  end
  total.changed = true
  return true
end

-- What the live slices come to is kept beside them, so that a call reads one sum and not sixty slices. It is older than the slices
-- are kept if the account rested for a window: then it is not known which of them it has.
local function total_of(term, key)
  local name = base .. ':w:' .. term.number .. ':' .. key
  local total = totals[name]
  if total then return total end
  local told = call('HMGET', name, 'spent', 'held', 'cut', 'rolling', 'told', 'turn')
  total = {
    name = name, spent = told[1] or '0', held = told[2] or '0', cut = cut_of(term), rolling = term.rolling,
    told = told[5] or '', turn = term.turn,
  }
  totals[name], totals[#totals + 1] = total, total
  local cut = tonumber(told[3] or 0)
  -- Or its window was another, it was reset, or it is new.
  local is_old = cut + term.rolling <= total.cut or tonumber(told[4] or 0) ~= term.rolling or (told[6] or 0) + 0 < term.turn
  if is_old or cut < total.cut and not take_out(total, term, key, cut) then add_up(total, term, key) end
  return total
end

-- Add to what is spent or held in a row.
local function add(term, row, field, amount)
  local total = term.rolling > 0 and total_of(term, row.key)
  put(row, field, sum(row[field], amount))
  if total and row.ends > total.cut and row.ends - row.starts <= term.rolling then
    total[field] = sum(total[field], amount)
    total.changed = true
  end
end

local function write_rows()
  for i = 1, #changed do
    local row = changed[i]
    local packed = cmsgpack.pack(
      row.ends, row.most, row.spent, row.held, row.input, row.output, row.ok, row.exceeded, row.overrun, row.blocked,
      row.blocked_external, row.failed, row.told, row.turn
    )
    if row.left then
      call('SET', row.name, packed, 'EX', row.left)
    else
      call('SET', row.name, packed, 'KEEPTTL')
    end
  end
  for i = 1, #totals do
    local total = totals[i]
    if total.changed then
      call(
        'HSET', total.name, 'spent', total.spent, 'held', total.held, 'cut', total.cut, 'rolling', total.rolling,
        'told', total.told, 'turn', total.turn
      )
      call('EXPIRE', total.name, 2 * total.rolling)
    end
  end
  for i = 1, #past do keep_past(past[i][1], { past[i][2] }) end
end
