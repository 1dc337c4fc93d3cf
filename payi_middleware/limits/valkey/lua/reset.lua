-- An account begins to count anew; what it had come to is kept as history.
-- Asked: number, key, begin and end of the window that holds (seconds).

local term, key, starts, ends = limit(asked[8]), asked[9], asked[10], asked[11]
if ends > 0 and (now < starts * SECOND or now >= ends * SECOND) then return cmsgpack.pack({ 'turned', now, 0, {} }) end

while sweep(500) do end

local found
if term.rolling > 0 then
  found = slices(term, key)
  local total = total_of(term, key)
  total.spent, total.told, total.changed = '0', '', true
else
  local row = row_at(term.number, starts, key)
  found = row and { row } or {}
end
local told = { key, term.most, now, starts, ends, '0', '0', '0', '0', '0', '0', '0', '0', '0', '0' }
for _, row in ipairs(found) do
  if term.rolling > 0 then told[4] = math.min(told[4], row.starts) end
  for i, field in ipairs(COUNTED) do told[i + 5] = sum(told[i + 5], row[field]) end
  told[15] = sum(told[15], row.held)
  begin_anew(row)
end
keep_past(term.number, { told })
write_rows()
write_records()
return answer(told)
