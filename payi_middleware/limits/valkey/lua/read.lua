-- The rows of a limit's accounts, after leases that are over have been ended; each as it is kept, with the last turn that it
-- went through.
-- Asked: number, keys (none: a page of all), where the page begins, about how many accounts, when rows ended that are left out
-- (seconds; negative: none are).

while sweep(500) do end
write_rows()
write_records()
still = true

local number, keys, since = asked[8], asked[9], asked[12]
local found, following, width = {}, '0', 1
if #keys == 0 then
  local page = call('ZSCAN', base .. ':k:' .. number, asked[10], 'COUNT', asked[11])
  following, keys, width = page[1], page[2], 2  -- each key with its score
end
for n = 1, #keys, width do
  local key = keys[n]
  for _, starts in ipairs(call('ZRANGE', base .. ':x:' .. number .. ':' .. key, 0, -1)) do
    local row = row_at(number, tonumber(starts), key)
    if row and (row.ends == 0 or row.ends > since) then
      found[#found + 1] = {
        key, row.starts, row.ends, row.most, row.spent, row.held, row.input, row.output,
        row.ok, row.exceeded, row.overrun, row.blocked, row.blocked_external, row.failed, row.turn,
      }
    end
  end
end
return answer({ found, following })
