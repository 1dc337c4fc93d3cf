-- Count in a row what is told, and hold in it what calls hold that run.
-- Asked: account (a limit's number, a key, begin and end of its window), what was spent, input, output, and the calls by state.

while sweep(500) do end

local one = account_now(unpack(asked[8]))
local term, mended = one.term, { one.row }
if term.rolling > 0 then
  for _, row in ipairs(slices(term, one.row.key)) do
    if row ~= one.row then mended[#mended + 1] = row end
  end
end
for _, row in ipairs(mended) do
  for i, field in ipairs(COUNTED) do put(row, field, row == one.row and asked[9][i] or '0') end
  if row ~= one.row then put(row, 'told', '') end
  put(row, 'held', '0')
end
put(one.row, 'most', term.most)

local places = {}
for _, row in ipairs(mended) do places[row.name] = row end
for _, event in ipairs(call('ZRANGE', base .. ':leases', 0, -1)) do
  local record = record_of(event)
  for _, place in ipairs(record.state == 'held' and record.places or {}) do
    local row = places[base .. ':r:' .. place[1] .. ':' .. place[3] .. ':' .. place[2]]
    if row then put(row, 'held', sum(row.held, record.hold[place[4]])) end
  end
end
write_rows()
write_records()
if term.rolling > 0 then call('DEL', base .. ':w:' .. term.number .. ':' .. one.row.key) end  -- it is added up anew
return answer({})
