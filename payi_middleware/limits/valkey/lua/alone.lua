-- What nearly every call asks: one step, that lets it through or ends what it held. It decides as `reserve` and `settle` do, in half
-- of their time: what those remember of several steps, of slices and of calls takes longer than all commands.
-- Where anything is not as usual nothing is done, and `steps` sees to it.
-- Asked: begin and end of the window, the application's version, how many accounts, each of another limit; of each its limit and
-- the name of its row; what the step is made of. Where events are told, this one, and not a list.

local COUNT = 11  -- where what is asked says so
local ENDS, MOST, SPENT, HELD, INPUT, OUTPUT, OK, EXCEEDED, OVERRUN, FAILED, TOLD, TURN = 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13, 14  -- in a row
local DIGITS = 15  -- of what is added up as plain numbers

local function is_short(row)
  return #row[SPENT] <= DIGITS and #row[HELD] <= DIGITS and #row[INPUT] <= DIGITS and #row[OUTPUT] <= DIGITS
end

local function write_usual(rows)
  keep_clock()
  for i = 1, #rows do
    call('SET', base .. ':r:' .. asked[COUNT + 2 * i], cmsgpack.pack(unpack(rows[i])), 'KEEPTTL')
  end
end

-- An answer of so many values.
local function answer_usual(count, ...)
  return '\220\0' .. string.char(3 + count) .. cmsgpack.pack('alone', now, behind(), ...)
end

local function is_full(term, row, amount)
  local most, used = term.most + 0, row[SPENT] + row[HELD]
  return term.blocks and (used >= most or term.strict and used + amount > most)
end

-- The step begins at `first`, its accounts with the fifth value after.
local function reserve_usual(event, first, terms, rows)
  local ticks, tokens, calls = asked[first + 2], asked[first + 3], asked[first + 4]
  local amounts, places, told = { ticks, tokens, calls }, { nil, nil, nil, nil }, { nil, nil, nil, nil }  -- see `alone`
  for i = 1, #rows do
    local term, row, at = terms[i], rows[i], first + 4 * i + 1
    local amount, starts, n = amounts[term.at], asked[at + 2], 4 * i
    if row[ENDS] < asked[at + 3] or is_full(term, row, amount) then return end
    row[MOST], row[HELD] = term.most, text(row[HELD] + amount)
    places[n - 3], places[n - 2], places[n - 1], places[n] = asked[at], asked[at + 1], starts, term.at
    told[n - 3], told[n - 2], told[n - 1], told[n] = row[SPENT], row[HELD], starts * SECOND, row[ENDS] * SECOND
  end
  write_usual(rows)
  write_running(event, cmsgpack.pack('held', 0, asked[first + 1], ticks, tokens, calls, unpack(places)))
  call('ZADD', base .. ':leases', now + asked[LEASE], event)
  return answer_usual(1 + #told, 'admitted', unpack(told))
end

-- Whether something is to be told at so much spent.
local function is_due(term, row, spent)
  for i = 1, #term.alerts do
    local share, from = term.alerts[i][1], term.alerts[i][2]
    if share == 'forecast' or spent >= from + 0 and not has(row[TOLD], share) then return true end
  end
  return false
end

-- Adds to a row what a call cost that held an amount of it; which letter the state has, if nothing is to be told.
local function charge_usual(term, row, held, cost, is_failed)
  local spent = row[SPENT] + cost
  if is_due(term, row, spent) then return end
  local state, letter = EXCEEDED, 'e'
  if spent > term.most + 0 then state, letter = OVERRUN, 'v' elseif spent < term.from + 0 then state, letter = OK, 'o' end
  if is_failed then state = FAILED end
  row[MOST], row[SPENT], row[HELD], row[state] = term.most, text(spent), text(row[HELD] - held), text(row[state] + 1)
  return letter
end

-- The accounts of the step begin with the ninth value after `first`, those of the record with its seventh.
local function settle_usual(event, first, terms, rows, record)
  if record:byte() == ENDED then return end
  local held, told = { cmsgpack.unpack(record) }, nil
  local _, _, input, output, both, tokens, is_failed, is_known, is_counted = unpack(asked, first, first + 8)
  if held[1] ~= 'held' or #held ~= 6 + 4 * #rows or not is_counted then return end
  if #input > DIGITS or #output > DIGITS or #both > DIGITS or #tokens > DIGITS then return end
  for i = 1, #rows do
    local term, row, at, place = terms[i], rows[i], first + 4 * i + 5, 4 * i + 3
    if held[place] ~= asked[at] or held[place + 1] ~= asked[at + 1] or held[place + 2] ~= asked[at + 2] then return end
    if term.strict and not is_known then return end
    local cost = term.at == 1 and both or term.at == 2 and tokens or '1'
    local letter = charge_usual(term, row, held[3 + held[place + 3]], cost, is_failed)
    if not letter then return end
    row[INPUT], row[OUTPUT] = text(row[INPUT] + input), text(row[OUTPUT] + output)
    told = (told and told .. ',' or 's') .. term.number .. letter
  end
  write_usual(rows)
  call('ZREM', base .. ':leases', event)
  write_ended(event, told)
  return answer_usual(4, 'settled', true, told, false)
end

-- Whether leases are to be looked at, and some are over.
local function is_sweep_due()
  local last = looked[base] or 0
  if now < last + OFTEN and now >= last then return false end
  if #call('ZRANGEBYSCORE', base .. ':leases', '-inf', now, 'LIMIT', 0, 1) > 0 then return true end
  looked[base] = now
  return false
end

local function read_usual(event, count)
  local row = base .. ':r:' .. asked[COUNT + 2]
  local names = { base .. ':id', base .. ':clock', base .. ':v:' .. asked[4], base .. ':h:' .. event, row }
  for i = 2, count do names[4 + i] = base .. ':r:' .. asked[COUNT + 2 * i] end
  return call('MGET', unpack(names))
end

local function alone()
  local event, count, terms, rows = asked[7], asked[COUNT], { nil }, { nil }  -- with room for one: to make room takes long
  local kept = read_usual(event, count)
  if kept[1] ~= asked[1] or (kept[3] or '0') + 0 ~= asked[10] then return end
  for i = 1, count do
    local row = kept[4 + i] and { cmsgpack.unpack(kept[4 + i]) }
    if not row or not is_short(row) then return end
    terms[i], rows[i] = term_of(asked[COUNT + 2 * i - 1]), row
    if (row[TURN] or 0) < terms[i].turn then return end
  end
  set_clock(kept[2])
  if now < asked[8] * SECOND or now >= asked[9] * SECOND or is_sweep_due() then return end
  local first, record = COUNT + 1 + 2 * count, kept[4]
  if record then return asked[first] == 'settle' and settle_usual(event, first, terms, rows, record) end
  return asked[first] == 'reserve' and reserve_usual(event, first, terms, rows)
end

-- As several steps are asked.
local function among_others()
  local count, told = asked[COUNT], {}
  for i = 1, count do told[i] = asked[COUNT + 2 * i - 1] end
  return {
    asked[1], asked[2], asked[3], asked[4], asked[LEASE], asked[KEPT], { asked[7] },
    asked[8], asked[9], asked[10], {}, told, { { unpack(asked, COUNT + 1 + 2 * count) } },
  }
end

local function run(keys, arguments)
  call, base, asked = redis.call, keys[1], { cmsgpack.unpack(arguments[1]) }
  if asked[14] ~= nil then  -- several are asked by 13 values
    local told = alone()
    if told then return told end
    asked = among_others()
  end
  return begin(base, asked) or steps()
end
