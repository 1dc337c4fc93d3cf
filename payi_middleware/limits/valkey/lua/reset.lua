-- Begin counting anew; what accounts had come to is kept as history.
-- Asked: number, keys, begin and end of the window that holds (seconds).

local MOST = 10000  -- of a limit's resets that are kept

local term, starts, ends = limit(asked[8]), asked[10], asked[11]
if ends > 0 and (now < starts * SECOND or now >= ends * SECOND) then return cmsgpack.pack({ 'turned', now, 0, {} }) end

while sweep(500) do end

local COUNTED = { 'spent', 'input', 'output', 'ok', 'exceeded', 'overrun', 'blocked', 'blocked_external', 'failed' }

local function past_of(key, found)
  local past = { key, term.most, now, starts, ends, '0', '0', '0', '0', '0', '0', '0', '0', '0', '0' }
  for _, row in ipairs(found) do
    if term.rolling > 0 then past[4] = math.min(past[4], row.starts) end
    for i, field in ipairs(COUNTED) do past[i + 5] = sum(past[i + 5], row[field]) end
    past[15] = sum(past[15], row.held)
  end
  return past
end

local told = {}
for i, key in ipairs(asked[9]) do
  local found
  if term.rolling > 0 then
    found = slices(term, key)
    local total = total_of(term, key)
    total.spent, total.told, total.changed = '0', '', true
  else
    local row = row_at(term.number, starts, key)
    found = row and { row } or {}
  end
  told[i] = past_of(key, found)
  call('RPUSH', base .. ':p:' .. term.number, cmsgpack.pack(told[i]))
  for _, row in ipairs(found) do
    for _, field in ipairs(COUNTED) do put(row, field, '0') end
    put(row, 'told', '')
  end
end
call('LTRIM', base .. ':p:' .. term.number, -MOST, -1)
write_rows()
write_records()
return answer(told)
