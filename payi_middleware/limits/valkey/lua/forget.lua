-- What is left of an account whose rows are deleted: in the indexes, and in the records of calls that it holds.
-- Asked: a limit's number, a key; calls whose records are read along.

local number, key = asked[8], asked[9]
for _, event in ipairs(asked[7]) do
  local record = record_of(event)
  if is_held(record) then
    local left = {}
    for _, place in ipairs(record.places) do
      if place[1] ~= number or place[2] ~= key then left[#left + 1] = place end
    end
    record.places, record.changed = left, true
  end
end
write_records()
call('DEL', base .. ':x:' .. number .. ':' .. key, base .. ':w:' .. number .. ':' .. key)
call('ZREM', base .. ':k:' .. number, key)
return answer({})
