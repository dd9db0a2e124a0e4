% Answer cases of ttref oracle by TensorNet's MATLAB layer, under Octave or MATLAB.
%
%   ttref oracle --format mat --command \
%     "octave-cli --no-init-file scripts/tensornet_matlab.m SOURCE {cases} {results}"
%
% SOURCE is a folder with TT-Toolbox (tt_matrix, tt_tensor, core) and, in src/matlab, TensorNet's
% vl_nntt_forward.m and vl_nntt_backward.m. Mode 1 is the fastest there and the slowest in a case,
% so the train is reversed; x has a sample in each column.
function answer(source, target)
  case_of = load(source);
  d = 0;
  while isfield(case_of, sprintf('core_%d', d + 1))
    d = d + 1;
  end
  n = zeros(d, 1);
  m = zeros(d, 1);
  r = ones(d + 1, 1);
  core = [];
  ps = ones(d + 1, 1);
  for k = 1:d
    part = permute(case_of.(sprintf('core_%d', d + 1 - k)), [4 3 2 1]);
    n(k) = size(part, 2);
    m(k) = size(part, 3);
    r(k) = size(part, 1);
    core = [core; part(:)];
    ps(k + 1) = numel(core) + 1;
  end
  train = struct('d', d, 'r', r, 'n', n .* m, 'core', core, 'ps', ps, 'over', 0);
  layer.W = tt_matrix(tt_tensor(train), n, m);
  bias = zeros(0, 1, class(core));
  if isfield(case_of, 'bias')
    bias = case_of.bias(:);
  end
  layer.weights = {core, bias};
  layer.outHeight = prod(n);
  layer.outWidth = 1;
  layer.outChannels = 1;
  batch = size(case_of.x, 1);
  in.x = reshape(case_of.x.', prod(m), 1, 1, batch);
  out = vl_nntt_forward(layer, in, struct());
  result.y = reshape(out.x, prod(n), batch).';
  out.dzdx = reshape(case_of.dy.', prod(n), 1, 1, batch);
  in = vl_nntt_backward(layer, in, out);
  result.d_x = reshape(in.dzdx, prod(m), batch).';
  if numel(bias) > 0
    result.d_bias = in.dzdw{2}(:).';
  end
  for k = 1:d
    part = reshape(in.dzdw{1}(ps(k):ps(k + 1) - 1), [r(k), n(k), m(k), r(k + 1)]);
    result.(sprintf('d_core_%d', d + 1 - k)) = permute(part, [4 3 2 1]);
  end
  save('-v7', [target '.part'], '-struct', 'result');
  rename([target '.part'], target);
end

arguments_of = argv();
source = arguments_of{end - 2};
addpath(source, fullfile(source, 'core'), fullfile(source, 'src', 'matlab'));
files = dir(fullfile(arguments_of{end - 1}, '*.mat'));
for k = 1:numel(files)
  answer(fullfile(arguments_of{end - 1}, files(k).name), fullfile(arguments_of{end}, files(k).name));
end
