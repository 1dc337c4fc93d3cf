-- Limits, and the rows in which their accounts are counted. What a script reads it remembers, and writes when all is decided:
-- a script that fails has changed nothing.

-- What the rules ask of a limit, by its number. The asker sends what it knows of those that it asks about; any other is read,
-- and one that is gone is still known, for what is held in its rows.
local function limit(number)
  local found = limits[number]
  if found then return found end
  local told = call(
    'HMGET', base .. ':l:' .. number, 'most', 'from', 'unit', 'blocks', 'strict', 'rolling', 'kept', 'alerts', 'gone'
  )
  found = {
    number = number, most = told[1] or '0', from = told[2], at = tonumber(told[3] or 1), blocks = told[4] == '1',
    strict = told[5] == '1', rolling = tonumber(told[6] or 0), kept = tonumber(told[7] or 0),
    alerts = cmsgpack.unpack(told[8] or '\144'), gone = told[9] or not told[1],
  }
  limits[number] = found
  return found
end

-- Its first fields, which every step needs; see `whole`.
local function row_at(number, starts, key)
  local name = base .. ':r:' .. number .. ':' .. starts .. ':' .. key
  local row = rows[name]
  if row == nil then
    local told
    if all then
      told = call(
        'HMGET', name, 'ends', 'most', 'spent', 'held',
        'input', 'output', 'ok', 'exceeded', 'overrun', 'blocked', 'blocked_external', 'failed', 'told'
      )
    else
      told = call('HMGET', name, 'ends', 'most', 'spent', 'held')
    end
    row = told[1] and (all and {
      name = name, number = number, starts = starts, key = key, dirty = { nil, nil, nil, nil, nil, nil, nil, nil },
      ends = told[1] + 0, most = told[2], spent = told[3], held = told[4],
      input = told[5], output = told[6], ok = told[7], exceeded = told[8], overrun = told[9],
      blocked = told[10], blocked_external = told[11], failed = told[12], told = told[13],
    } or {
      name = name, number = number, starts = starts, key = key, dirty = { nil, nil, nil, nil, nil, nil, nil, nil },
      ends = told[1] + 0, most = told[2], spent = told[3], held = told[4],
    })
    rows[name] = row
  end
  return row
end

-- Reads its other fields.
local function whole(row)
  if row.ok then return end
  local told = call(
    'HMGET', row.name, 'input', 'output', 'ok', 'exceeded', 'overrun', 'blocked', 'blocked_external', 'failed', 'told'
  )
  row.input, row.output, row.ok, row.exceeded, row.overrun = told[1], told[2], told[3], told[4], told[5]
  row.blocked, row.blocked_external, row.failed, row.told = told[6], told[7], told[8], told[9]
end

-- Change a field, to be written with the row if that is.
local function change(row, field, value)
  local dirty = row.dirty
  local count = #dirty
  row[field] = value
  for i = 1, count, 2 do
    if dirty[i] == field then
      dirty[i + 1] = value
      return
    end
  end
  dirty[count + 1], dirty[count + 2] = field, value
end

local function put(row, field, value)
  change(row, field, value)
  if not row.changed then row.changed, changed[#changed + 1] = true, row end
end

local FIELDS = {
  'most', 'spent', 'held', 'input', 'output', 'ok', 'exceeded', 'overrun', 'blocked', 'blocked_external', 'failed', 'told',
}

-- Its end is negative where a row without a window is to tell, in the place of its end, when it was begun.
local function made_row(number, starts, ends, key)
  local row = row_at(number, starts, key)
  if row and row.ends >= ends then return row end
  local term, second = limit(number), math.floor(now / SECOND)
  if ends < 0 then ends = second end
  if not row then
    row = {
      name = base .. ':r:' .. number .. ':' .. starts .. ':' .. key, number = number, starts = starts, key = key,
      most = term.most, spent = '0', held = '0', input = '0', output = '0', ok = '0', exceeded = '0', overrun = '0',
      blocked = '0', blocked_external = '0', failed = '0', told = '', dirty = {},
    }
    rows[row.name] = row
    for i = 1, #FIELDS do change(row, FIELDS[i], row[FIELDS[i]]) end
  end
  change(row, 'ends', ends)  -- or its limit had a shorter window, which began at the same time
  -- Rows whose window is long over go by themselves, and out of the indexes of their account and limit as a new one enters.
  local index, accounts = base .. ':x:' .. number .. ':' .. key, base .. ':k:' .. number
  call('ZREMRANGEBYSCORE', index, '(0', second - term.kept)
  call('ZADD', index, ends, starts)
  call('ZREMRANGEBYSCORE', accounts, '-inf', second)
  call('ZADD', accounts, 'GT', ends > 0 and ends + term.kept or '+inf', key)
  if ends > 0 then
    row.left = math.max(1, ends + term.kept - second)
    call('EXPIRE', index, row.left)
  else
    call('PERSIST', index)
  end
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

-- What the live slices come to is kept beside them, so that a call reads one sum and not sixty slices.
local function total_of(term, key)
  local name = base .. ':w:' .. term.number .. ':' .. key
  local total = totals[name]
  if total then return total end
  local told = call('HMGET', name, 'spent', 'held', 'cut', 'rolling', 'told')
  total = {
    name = name, spent = told[1] or '0', held = told[2] or '0', cut = cut_of(term), rolling = term.rolling,
    told = told[5] or '',
  }
  totals[name], totals[#totals + 1] = total, total
  local cut = tonumber(told[3] or 0)
  if tonumber(told[4] or 0) ~= term.rolling then  -- its window was another, or it is new
    total.spent, total.held, total.told, total.changed = '0', '0', '', true
    for _, row in ipairs(slices(term, key)) do
      whole(row)
      total.spent, total.held = sum(total.spent, row.spent), sum(total.held, row.held)
      for share in row.told:gmatch('%S+') do total.told = total.told .. ' ' .. share .. '@' .. row.ends end
    end
  elseif cut < total.cut then
    total.changed = true
    local index = base .. ':x:' .. term.number .. ':' .. key
    for _, starts in ipairs(call('ZRANGEBYSCORE', index, '(' .. cut, total.cut)) do
      local row = row_at(term.number, tonumber(starts), key)
      if row and row.ends - row.starts <= term.rolling then
        total.spent, total.held = sum(total.spent, '-' .. row.spent), sum(total.held, '-' .. row.held)
      end
    end
  end
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
    call('HSET', row.name, unpack(row.dirty))
    if row.left then call('EXPIRE', row.name, row.left) end
  end
  for i = 1, #totals do
    local total = totals[i]
    if total.changed then
      call(
        'HSET', total.name, 'spent', total.spent, 'held', total.held, 'cut', total.cut, 'rolling', total.rolling,
        'told', total.told
      )
      call('EXPIRE', total.name, 2 * total.rolling)
    end
  end
end
