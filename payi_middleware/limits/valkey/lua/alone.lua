-- What nearly every call asks: one step about one account, that lets it through or ends what it held. It decides as `reserve` and
-- `settle` do, in half of their time: what those remember of several steps, accounts and slices takes longer than all commands.
-- Where anything is not as usual nothing is done, and `steps` sees to it.
-- Asked: begin and end of the window, the application's version, the limit, the name of the row, and what the step is made of; where
-- events are told, this one, and not a list.

local PLACE, STEP = 12, 13  -- where what is asked says so
local ENDS, MOST, SPENT, HELD, INPUT, OUTPUT, OK, EXCEEDED, OVERRUN, FAILED, TOLD = 1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 13  -- in a row
local DIGITS = 15  -- of what is added up as plain numbers

local function is_short(row)
  return #row[SPENT] <= DIGITS and #row[HELD] <= DIGITS and #row[INPUT] <= DIGITS and #row[OUTPUT] <= DIGITS
end

local function write_row(row)
  keep_clock()
  call('SET', base .. ':r:' .. asked[PLACE], cmsgpack.pack(unpack(row)), 'KEEPTTL')
end

local function reserve_alone(event, term, row)
  local application, ticks, tokens, calls, number, key, starts, ends = unpack(asked, STEP + 1)
  local amount, at = ticks, term.at
  if at == 2 then amount = tokens elseif at == 3 then amount = calls end
  local most, used = term.most + 0, row[SPENT] + row[HELD]
  if row[ENDS] < ends or term.blocks and (used >= most or term.strict and used + amount > most) then return end
  row[MOST], row[HELD] = term.most, text(row[HELD] + amount)
  write_row(row)
  write_running(event, cmsgpack.pack('held', 0, application, ticks, tokens, calls, number, key, starts, at))
  call('ZADD', base .. ':leases', now + asked[LEASE], event)
  return '\152' .. cmsgpack.pack(
    'alone', now, behind(), 'admitted', row[SPENT], row[HELD], starts * SECOND, row[ENDS] * SECOND
  )
end

-- What a call holds of an account, if that is all it holds.
local function held_of(record, term, key, starts)
  if record:byte() == ENDED then return end
  local state, _, _, ticks, tokens, calls, number, its_key, begins, at, more = cmsgpack.unpack(record)
  if state ~= 'held' or more or number ~= term.number or its_key ~= key or begins ~= starts then return end
  return at == 1 and ticks or at == 2 and tokens or calls
end

-- Whether something is to be told at so much spent.
local function is_due(term, row, spent)
  for i = 1, #term.alerts do
    local share, from = term.alerts[i][1], term.alerts[i][2]
    if share == 'forecast' or spent >= from + 0 and not has(row[TOLD], share) then return true end
  end
  return false
end

local function settle_alone(event, term, row, record)
  local _, input, output, cost, tokens, is_failed, is_known, is_counted, _, key, starts = unpack(asked, STEP + 1)
  local held = held_of(record, term, key, starts)
  if term.at == 2 then cost = tokens elseif term.at == 3 then cost = '1' end
  if not held or not is_counted or term.strict and not is_known then return end
  if #cost > DIGITS or #input > DIGITS or #output > DIGITS then return end
  local spent = row[SPENT] + cost
  if is_due(term, row, spent) then return end
  local state, letter = EXCEEDED, 'e'
  if spent > term.most + 0 then state, letter = OVERRUN, 'v' elseif spent < term.from + 0 then state, letter = OK, 'o' end
  if is_failed then state = FAILED end
  row[MOST], row[SPENT], row[HELD] = term.most, text(spent), text(row[HELD] - held)
  row[INPUT], row[OUTPUT], row[state] = text(row[INPUT] + input), text(row[OUTPUT] + output), text(row[state] + 1)
  write_row(row)
  call('ZREM', base .. ':leases', event)
  local told = 's' .. term.number .. letter
  write_ended(event, told)
  return '\151' .. cmsgpack.pack('alone', now, behind(), 'settled', true, told, false)
end

-- Whether leases are to be looked at, and some are over.
local function is_sweep_due()
  local last = looked[base] or 0
  if now < last + OFTEN and now >= last then return false end
  if #call('ZRANGEBYSCORE', base .. ':leases', '-inf', now, 'LIMIT', 0, 1) > 0 then return true end
  looked[base] = now
  return false
end

local function alone()
  local event, term = asked[7], term_of(asked[11])
  local kept = call(
    'MGET', base .. ':id', base .. ':clock', base .. ':v:' .. asked[4], base .. ':h:' .. event, base .. ':r:' .. asked[PLACE]
  )
  if kept[1] ~= asked[1] or (kept[3] or '0') + 0 ~= asked[10] or not kept[5] then return end
  set_clock(kept[2])
  if now < asked[8] * SECOND or now >= asked[9] * SECOND or is_sweep_due() then return end
  local record, row = kept[4], { cmsgpack.unpack(kept[5]) }
  if not is_short(row) then return end
  if record then return asked[STEP] == 'settle' and settle_alone(event, term, row, record) end
  return asked[STEP] == 'reserve' and reserve_alone(event, term, row)
end

-- As several steps are asked.
local function among_others()
  return {
    asked[1], asked[2], asked[3], asked[4], asked[LEASE], asked[KEPT], { asked[7] },
    asked[8], asked[9], asked[10], {}, { asked[11] }, { { unpack(asked, STEP) } },
  }
end

local function run(keys, arguments)
  call, base, asked = redis.call, keys[1], { cmsgpack.unpack(arguments[1]) }
  if asked[STEP + 1] ~= nil then
    local told = alone()
    if told then return told end
    asked = among_others()
  end
  return begin(base, asked) or steps()
end
